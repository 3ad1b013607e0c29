//! Decisions from watched directories and files.

use std::fs;
use std::path::Path;

use anyhow::Result;
use zmq_auth::{Authenticator, KeyDirectory, PasswordFile, save_certificate};

use super::contestant::Contestant;
use super::population::{self, Population};
use super::requests::Requests;
use super::stores::{Figures, grouped};
use super::{Bench, DOMAIN, floor, ours};

const KEYS: [&str; 2] = ["decisions-watched", "decisions-watched-cpu"];
const HOW: &str = "zmq-auth with the store in memory, and with one that follows the disk (a directory of this many `.key` \
     files, or a file of users and clear passwords), which doesn't change meanwhile.";

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let mut figures = Figures::new(KEYS, "Decisions from watched stores", HOW);
    let size = bench.extent.watched;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;

    let policy = Authenticator::new();
    let keys = key_directory(directory.path(), size)?;
    keys.watch()?;
    policy.configure_curve_store(DOMAIN, &keys)?;
    rows(bench, &mut figures, Population::Keys(size), "files of keys", &policy)?;

    let policy = Authenticator::new();
    let passwords = password_file(directory.path(), size)?;
    passwords.watch()?;
    policy.configure_plain_file(DOMAIN, &passwords)?;
    rows(bench, &mut figures, Population::Users(size), "users in a file", &policy)?;
    figures.write()
}

fn rows(
    bench: &Bench,
    figures: &mut Figures,
    population: Population,
    what: &str,
    policy: &Authenticator,
) -> Result<()> {
    let requests = Requests::of(population);
    let driver = &bench.driver;
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(floor::bare(driver, &requests)?),
        Box::new(floor::with_lookup(driver, &requests, population)?),
        Box::new(ours::thread(ours::THREAD, driver, &requests, &ours::policy(population)?)?),
        Box::new(ours::thread("zmq-auth, watched", driver, &requests, policy)?),
    ];
    for (sockets, named) in [(1, "1 socket"), (16, "16 sockets")] {
        let work = format!("{named}, {} {what}", grouped(bench.extent.watched));
        figures.row(bench, &work, sockets, &mut contestants)?;
    }
    Ok(())
}

/// Makes the files in a subdirectory, and opens it.
pub(crate) fn key_directory(below: &Path, size: u32) -> Result<KeyDirectory> {
    let directory = below.join("keys");
    fs::create_dir(&directory)?;
    for number in 0..size.into() {
        write_key(&directory, number, number)?;
    }
    Ok(KeyDirectory::open(directory)?)
}

/// Writes the certificate of a number, overwriting an existing one.
pub(crate) fn write_key(directory: &Path, file: u64, number: u64) -> Result<()> {
    use std::sync::OnceLock;
    // As save_certificate does, but without waiting for the disk each time.
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    let name = |number: u64| directory.join(format!("client-{number:07}.key"));
    let template = match TEMPLATE.get() {
        Some(template) => template,
        None => {
            save_certificate(name(file), &ours::key(0), None)?;
            let text = fs::read_to_string(name(file))?;
            TEMPLATE.get_or_init(|| text)
        }
    };
    let certificate = template.replace(&ours::key(0).to_string(), &ours::key(number).to_string());
    fs::write(name(file), certificate)?;
    Ok(())
}

fn password_file(below: &Path, size: u32) -> Result<PasswordFile> {
    let file = below.join("passwords");
    let line = |number| population::user(number) + "=" + &population::password(number) + "\n";
    fs::write(&file, (0..size.into()).map(line).collect::<String>())?;
    Ok(PasswordFile::open(file)?)
}
