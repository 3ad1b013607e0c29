//! A handler that is stopped while the program's logger blocks on the record of an accepted client.
//!
//! In separate processes, because of the logger.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Error};

use crate::harness::barrier::Barrier;
use crate::harness::process::isolated;
use crate::harness::{DEADLINE, zap};

/// Waits at the barrier with the record of an accepted client.
struct Hanging(Mutex<Option<Barrier>>);

static LOGGER: Hanging = Hanging(Mutex::new(None));

impl Hanging {
    /// Makes it the logger of this process.
    fn install() -> Barrier {
        let barrier = Barrier::default();
        *LOGGER.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(barrier.clone());
        log::set_logger(&LOGGER).expect("no other logger in the child");
        log::set_max_level(log::LevelFilter::Trace);
        barrier
    }
}

impl log::Log for Hanging {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.args().to_string().starts_with("allowed") {
            let barrier = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(barrier) = barrier {
                barrier.wait();
            }
        }
    }

    fn flush(&self) {}
}

/// A client of the handler, without the harness and its logger.
struct Asker(zmq::Socket);

impl Asker {
    /// Sends a request about a client of this mechanism, in the domain `"d"`.
    fn ask(context: &zmq::Context, mechanism: &str, credentials: &[&str]) -> Self {
        let socket = context.socket(zmq::DEALER).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
        socket.connect(zap::ENDPOINT).unwrap();
        let frames = ["", "1.0", "1", "d", "127.0.0.1", "", mechanism];
        socket.send_multipart(frames.iter().chain(credentials).copied(), 0).unwrap();
        Asker(socket)
    }

    fn status(&self) -> u16 {
        zap::status_of(&self.0.recv_multipart(0).expect("an answer within the deadline")[1..])
    }
}

#[track_caller]
fn assert_300_after_stop(mechanism: &str, credentials: &[&str]) {
    let barrier = Hanging::install();
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("d", |_, _, _| true).unwrap();
    let running = auth.start(&context).unwrap();
    let asker = Asker::ask(&context, mechanism, credentials);
    barrier.wait_for(1);
    let start = Instant::now();
    assert!(matches!(running.stop(), Err(Error::StillRunning { .. })));
    // A second, plus the delay of a busy machine.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    barrier.open();
    assert_eq!(asker.status(), 300, "accepted after stop has returned");
}

#[test]
fn a_client_whose_record_hangs_gets_300_after_stop() {
    isolated(|| assert_300_after_stop("NULL", &[]));
}

#[test]
fn a_client_of_a_callback_whose_record_hangs_gets_300_after_stop() {
    isolated(|| assert_300_after_stop("PLAIN", &["alice", "zanzibar"]));
}

/// The guard of tokio's front end is dropped: its `stop` waits for the logger.
#[cfg(feature = "tokio")]
#[track_caller]
fn assert_300_after_drop(mechanism: &str, credentials: &[&str]) {
    let barrier = Hanging::install();
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("d", |_, _, _| true).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let running = runtime.block_on(auth.start_async(&context)).unwrap();
    let asker = Asker::ask(&context, mechanism, credentials);
    barrier.wait_for(1);
    drop(running);
    barrier.open();
    assert_eq!(asker.status(), 300, "accepted after the guard was dropped");
}

#[cfg(feature = "tokio")]
#[test]
fn a_client_whose_record_hangs_in_a_task_gets_300_after_the_guard_was_dropped() {
    isolated(|| assert_300_after_drop("NULL", &[]));
}

#[cfg(feature = "tokio")]
#[test]
fn a_client_of_a_callback_whose_record_hangs_in_a_task_gets_300_after_the_guard_was_dropped() {
    isolated(|| assert_300_after_drop("PLAIN", &["alice", "zanzibar"]));
}
