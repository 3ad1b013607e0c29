//! Benchmark of large stores of keys: time to load a directory and to reload it, and memory.
//!
//! Loading is compared with the least time that it can take, a loop in C that opens, stats, reads and closes each file,
//! and with pyzmq. Each measurement is a separate process, so that none reuses another's allocations. The files are in
//! the page cache.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench key_directory
//! ```
//!
//! Takes about two minutes; needs a C compiler (`cc`) and `taskset`. Without Cargo's `--bench`, as in `cargo test
//! --benches`, it only runs through once with few keys.

mod c_loop;
mod child;
mod files;
mod tables;

use anyhow::Result;
use child::{Child, Cpus, Task};
use tables::Tables;
use zmq_auth_benches::report;

/// How much is measured.
struct Extent {
    files: &'static [u32],
    /// In a set of keys.
    keys: u32,
    repetitions: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(task) = Task::of(&arguments) {
        return task?.run();
    }
    let extent = if report::is_benchmark() {
        Extent { files: &[1_000, 10_000, 100_000], keys: 1_000_000, repetitions: 5 }
    } else {
        Extent { files: &[100], keys: 1_000, repetitions: 1 }
    };

    let c_loop = c_loop::compile()?;
    let mut tables = Tables::default();
    for &files in extent.files {
        let directory = files::make(files)?;
        for _ in 0..extent.repetitions {
            tables.load(files, "C loop", Child::c_loop(&c_loop, directory.path())?);
            tables.load(files, "zmq-auth, one thread", Child::ours(Task::Load(directory.path().into()), Cpus::One)?);
            tables.load(files, "zmq-auth, parallel", Child::ours(Task::Load(directory.path().into()), Cpus::All)?);
            tables.load(files, "pyzmq", Child::pyzmq(directory.path())?);
            tables.reload(files, Child::ours(Task::Reload(directory.path().into()), Cpus::All)?);
        }
    }
    for _ in 0..extent.repetitions {
        tables.set(extent.keys, Child::ours(Task::Set(extent.keys), Cpus::All)?);
    }
    tables.into_sections().into_iter().try_for_each(report::write)
}
