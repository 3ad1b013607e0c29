//! What a large directory of keys costs: time to load and to reload, beside bare reads of the same files, and memory.
//!
//! ```sh
//! cargo bench --bench key_directory
//! ```
//!
//! Prints figures for 1,000, 10,000 and 100,000 files; takes about a minute. Without Cargo's `--bench`, as in `cargo test`,
//! it only runs through once with 100.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use zmq_auth::{KeyDirectory, PublicKey, save_certificate};

fn main() -> Result<()> {
    let bench = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[u32] = if bench { &[1_000, 10_000, 100_000] } else { &[100] };
    sizes.iter().try_for_each(|files| measure(*files))
}

fn measure(files: u32) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = |n: u32| directory.path().join(format!("client-{n:07}.key"));
    save_certificate(file(0), &key(0), None)?;
    let certificate = fs::read_to_string(file(0))?;
    for n in 1..files {
        fs::write(file(n), certificate.replace(&key(0).to_string(), &key(n).to_string()))?;
    }
    println!("{files} files");
    let bare = timed("open, read and close each, nothing else", || read_all(directory.path()))?;
    let load = timed("load_certificates", || Ok(black_box(zmq_auth::load_certificates(&directory)?)))?;
    let before = resident()?;
    let keys = timed("KeyDirectory::open", || Ok(KeyDirectory::open(&directory)?))?;
    println!("  load_certificates / bare reads: {:.2}", load.1.as_secs_f64() / bare.1.as_secs_f64());
    println!("  memory: {} bytes a key (resident)", resident()?.saturating_sub(before) / files as usize);
    let start = Instant::now();
    // Files younger than 2 s are always read again.
    while keys.0.reload()?.read > 0 {
        ensure!(start.elapsed() < Duration::from_secs(60), "the files stay young");
    }
    timed("reload, nothing changed", || Ok(keys.0.reload()?))?;
    fs::write(file(1), certificate.replace(&key(0).to_string(), &key(files).to_string()))?;
    let reload = timed("reload, one changed", || Ok(keys.0.reload()?))?;
    ensure!(reload.0.read == 1 && reload.0.changed == 1, "one file is read: {:?}", reload.0);
    Ok(())
}

fn key(n: u32) -> PublicKey {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PublicKey::from(bytes)
}

fn read_all(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        black_box(fs::read(entry?.path())?);
    }
    Ok(())
}

fn timed<T>(what: &str, act: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let result = act()?;
    let took = start.elapsed();
    println!("  {what}: {took:?}");
    Ok((result, took))
}

/// In bytes, as the kernel counts it.
fn resident() -> Result<usize> {
    let status = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = status.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096)
}
