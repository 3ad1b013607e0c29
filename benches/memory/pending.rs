//! Callbacks that all run at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use zmq_auth::Authenticator;

use super::idle::context;
use super::usage::Usage;

const DOMAIN: &str = "slow";
const DEADLINE: Duration = Duration::from_secs(60);

/// A latch on which callbacks wait until the end.
#[derive(Default)]
struct Latch {
    waiting: AtomicUsize,
    open: Mutex<bool>,
    opened: Condvar,
}

pub(crate) fn thread(count: usize) -> Result<Usage> {
    let context = context()?;
    let authenticator = policy()?;
    let latch = Arc::new(Latch::default());
    let inside = latch.clone();
    authenticator.configure_curve_callback(DOMAIN, move |_, _| {
        inside.waiting.fetch_add(1, Ordering::Relaxed);
        let open = inside.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(inside.opened.wait_while(open, |open| !*open));
        true
    })?;
    let running = authenticator.start(&context)?;
    let grown = ask(&context, count, &latch.waiting)?;
    *latch.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
    latch.opened.notify_all();
    running.stop()?;
    Ok(grown)
}

pub(crate) fn tokio(count: usize) -> Result<Usage> {
    let context = context()?;
    let authenticator = policy()?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let inside = waiting.clone();
    authenticator.configure_curve_callback_async(DOMAIN, move |_, _| {
        inside.fetch_add(1, Ordering::Relaxed);
        // The handler drops it when it stops.
        std::future::pending::<bool>()
    })?;
    let runtime = ::tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let running = runtime.block_on(authenticator.start_async(&context))?;
    let grown = ask(&context, count, &waiting)?;
    runtime.block_on(running.stop())?;
    Ok(grown)
}

fn policy() -> Result<Authenticator> {
    let authenticator = Authenticator::new();
    // The most threads that the thread front end may have.
    authenticator.limit_callbacks(4_096, 2 * DEADLINE)?;
    authenticator.limit_async_callbacks(100_000)?;
    Ok(authenticator)
}

/// Sends this many requests, and waits until all of them are being decided.
fn ask(context: &zmq::Context, count: usize, waiting: &AtomicUsize) -> Result<Usage> {
    let socket = context.socket(zmq::DEALER)?;
    socket.set_linger(0)?;
    socket.set_sndhwm(0)?;
    socket.set_rcvhwm(0)?;
    socket.connect("inproc://zeromq.zap.01")?;
    let before = Usage::now()?;
    for number in 0..u32::try_from(count)? {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let request: [&[u8]; 8] = [b"", b"1.0", b"1", DOMAIN.as_bytes(), b"127.0.0.1", b"", b"CURVE", &key];
        socket.send_multipart(request, 0)?;
    }
    let start = Instant::now();
    while waiting.load(Ordering::Relaxed) < count {
        ensure!(start.elapsed() < DEADLINE, "only {} of {count} callbacks run", waiting.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_millis(1));
    }
    before.grown()
}
