//! The clients: threads that connect, send a message, wait for its echo, and close.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use zmq_auth::SocketExt;

use super::Extent;
use super::server::KeyFiles;

/// Durations of a run.
pub(crate) struct Timings {
    pub(crate) all: Duration,
    /// The time of each connection, from before `connect` until the echo.
    pub(crate) each: Vec<Duration>,
}

pub(crate) fn run(files: &KeyFiles, endpoint: &str, extent: Extent) -> Result<Timings> {
    let context = zmq::Context::new();
    // Two, so that the clients don't limit the server, which is what is measured.
    context.set_io_threads(2)?;
    let left = AtomicUsize::new(extent.connections);
    let one_after_another = || {
        let mut each = Vec::new();
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            each.push(connect(&context, files, endpoint)?);
        }
        anyhow::Ok(each)
    };
    let start = Instant::now();
    let each = thread::scope(|scope| {
        let threads: Vec<_> = (0..extent.at_once).map(|_| scope.spawn(one_after_another)).collect();
        let each = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>>>();
        each.map(|each| each.concat())
    })?;
    Ok(Timings { all: start.elapsed(), each })
}

fn connect(context: &zmq::Context, files: &KeyFiles, endpoint: &str) -> Result<Duration> {
    let start = Instant::now();
    let mut socket = context.socket(zmq::DEALER)?;
    socket.set_linger(0)?;
    socket.set_rcvtimeo(20_000)?;
    socket.curve_client(&files.client, &files.server)?;
    socket.connect(endpoint)?;
    socket.send("ping", 0)?;
    let echo = socket.recv_bytes(0).context("no echo: the server refused the client")?;
    ensure!(echo == b"ping", "an echo");
    Ok(start.elapsed())
}
