//! What a large store costs. Measured by hand: `cargo test --release --test stores -- --ignored --nocapture costs`.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use zmq_auth::KeyDirectory;

use crate::files::{certificate, key, write};

/// In bytes, as the kernel counts it.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = act();
    println!("  {what}: {:?}", start.elapsed());
    result
}

#[test]
#[ignore = "measures; takes a minute"]
fn costs_of_a_large_directory() {
    for files in [1_000, 10_000, 100_000] {
        let dir = tempfile::tempdir().unwrap();
        (0..files).for_each(|n| write(&dir.path().join(format!("client-{n:07}.key")), &key(n)));
        println!("{files} files");
        timed("open, read and close each, nothing else", || {
            for entry in fs::read_dir(&dir).unwrap() {
                black_box(fs::read(entry.unwrap().path()).unwrap());
            }
        });
        timed("load_certificates", || black_box(zmq_auth::load_certificates(&dir).unwrap()));
        let before = resident();
        let keys = timed("KeyDirectory::open", || KeyDirectory::open(&dir).unwrap());
        println!("  memory: {} bytes a key (resident)", (resident() - before) / files as usize);
        let start = Instant::now();
        while keys.reload().unwrap().read > 0 {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
        timed("reload, nothing changed", || keys.reload().unwrap());
        fs::write(dir.path().join("client-0000500.key"), certificate(&key(files), &[])).unwrap();
        let reload = timed("reload, one changed", || keys.reload().unwrap());
        assert_eq!((reload.read, reload.changed), (1, 1));
    }
}
