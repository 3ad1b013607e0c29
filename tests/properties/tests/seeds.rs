//! The fuzzers' seeds hold: what they found interesting, and former bugs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use zmq_auth_properties::{
    address_rules, certificate, password_file, password_line, reply, request, validity_name, z85,
};

type Holds = fn(&[u8]);

/// Every folder of `fuzz/seeds`, and nothing else.
const TARGETS: [(&str, Holds); 8] = [
    ("address_rules", address_rules::holds),
    ("certificate", certificate::holds),
    ("password_file", password_file::holds),
    ("password_line", password_line::holds),
    ("reply", reply::holds),
    ("request", request::holds),
    ("validity_name", validity_name::holds),
    ("z85", z85::holds),
];

#[test]
fn every_seed_of_every_fuzz_target_holds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, holds) in TARGETS {
        let seeds = files(&fuzz.join("seeds").join(name));
        assert!(seeds.len() >= 5, "{name} has only {} seeds", seeds.len());
        for seed in seeds {
            let bytes = fs::read(fuzz.join("seeds").join(name).join(&seed)).unwrap();
            assert!(catch_unwind(AssertUnwindSafe(|| holds(&bytes))).is_ok(), "fuzz/seeds/{name}/{seed}");
        }
    }
}

#[test]
fn every_fuzz_target_has_its_seeds_here() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let here = TARGETS.map(|(name, _)| name.to_owned()).to_vec();
    assert_eq!(files(&fuzz.join("seeds")), here);
    let sources = files(&fuzz.join("fuzz_targets"));
    assert_eq!(sources, here.iter().map(|name| format!("{name}.rs")).collect::<Vec<_>>());
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
