//! The operator's page: its shell commands, in their order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use zmq_auth::{Authenticator, Certificate, KeyDirectory, PublicKey, create_certificates};

use crate::harness::log;

const PAGE: &str = include_str!("../../src/operation.md");

fn blocks() -> Vec<&'static str> {
    PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What the commands print.
fn run(directory: &Path, commands: &str) -> String {
    let output = Command::new("sh").args(["-eu", "-c", commands]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{commands}{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_accepted(auth: &Authenticator, key: PublicKey) -> bool {
    let frames: [&[u8]; 7] = [b"1.0", b"1", b"lab", b"127.0.0.1", b"", b"CURVE", key.as_bytes()];
    auth.handle_zap_message(&frames).unwrap()[2] == b"200"
}

#[test]
fn each_command_does_what_the_page_says() {
    log::install();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    create_certificates(&directory, "server").unwrap();
    fs::set_permissions(path("server.key_secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let [set_up, add, list, remove] = blocks().try_into().expect("four blocks of commands");

    assert_eq!(run(directory.path(), set_up), "", "no secret file that others can read is left");
    assert_eq!(fs::metadata(path("server.key_secret")).unwrap().permissions().mode() & 0o777, 0o600);

    fs::create_dir(path("incoming")).unwrap();
    let [alice, mallory] = ["alice", "mallory"].map(|name| {
        let certificate = Certificate::generate().unwrap().with_metadata("not-after", "2999-12-31T00:00:00Z").unwrap();
        certificate.save_public(path("incoming").join(format!("{name}.key"))).unwrap();
        certificate.public_key()
    });
    fs::copy(path("incoming/mallory.key"), path("clients/mallory.key")).unwrap();
    let auth = Authenticator::new();
    let clients = KeyDirectory::open(path("clients")).unwrap();
    auth.configure_curve_store("lab", &clients).unwrap();
    assert!(is_accepted(&auth, mallory) && !is_accepted(&auth, alice));

    assert_eq!(run(directory.path(), add), "");
    clients.reload().unwrap();
    assert!(is_accepted(&auth, alice));

    let listed = run(directory.path(), list);
    assert!(listed.contains("clients/alice.key:    not-after = \"2999-12-31T00:00:00Z\""), "{listed}");

    assert_eq!(run(directory.path(), remove), "");
    clients.reload().unwrap();
    assert!(is_accepted(&auth, alice) && !is_accepted(&auth, mallory));
}
