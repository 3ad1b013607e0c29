//! A logger that panics at every record of this crate: only the record is lost.
//!
//! In separate processes, because of the logger.

use std::sync::atomic::{AtomicUsize, Ordering};

use zmq_auth::{Authenticator, EventKind, SocketExt};

use crate::harness::DEADLINE;
use crate::harness::process::isolated;

struct Panicking(AtomicUsize);

static LOGGER: Panicking = Panicking(AtomicUsize::new(0));

impl log::Log for Panicking {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // Other crates have to contain panics at their own records.
        if record.target() != "zmq_auth" {
            return;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("a logger that panics, as it should here");
    }

    fn flush(&self) {}
}

/// `start` starts a front end, and returns what stops it. (The harness's front ends would bring another logger.)
fn clients_are_served<S: FnOnce()>(start: impl FnOnce(&Authenticator, &zmq::Context) -> S) {
    log::set_logger(&LOGGER).expect("no other logger in the child");
    log::set_max_level(log::LevelFilter::Trace);
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let events = auth.events(1000);
    auth.configure_plain("d", [("alice", "zanzibar")]).unwrap();
    let stop = start(&auth, &context);
    let server = context.socket(zmq::REP).unwrap();
    let mut server = zmq_auth::MonitoredSocket::new(&context, server).unwrap();
    server.plain_server("d").unwrap();
    server.bind("tcp://127.0.0.1:*").unwrap();
    let endpoint = server.endpoint().unwrap();
    for (password, accepted) in [("zanzibar", true), ("wrong", false)].repeat(3) {
        let mut client = zmq_auth::MonitoredSocket::new(&context, context.socket(zmq::REQ).unwrap()).unwrap();
        client.set_linger(0).unwrap();
        client.plain_client("alice", password).unwrap();
        client.connect(&endpoint).unwrap();
        let outcome = client.wait_for_handshake(DEADLINE).unwrap();
        let wanted = if accepted { zmq_auth::Handshake::Authenticated } else { zmq_auth::Handshake::Denied(400) };
        assert_eq!(outcome, Some(wanted));
    }
    assert_eq!((auth.counters().allowed, auth.counters().denied), (3, 3));
    stop();
    let kinds: Vec<EventKind> = std::iter::from_fn(|| events.try_next()).map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Allowed).count(), 3);
    assert_eq!(kinds.last(), Some(&EventKind::Stopped));
    assert!(LOGGER.0.load(Ordering::Relaxed) >= 6, "the logger was called");
}

#[test]
fn a_panic_in_the_logger_loses_only_its_record_thread() {
    isolated(|| {
        clients_are_served(|auth, context| {
            let running = auth.start(context).unwrap();
            || running.stop().unwrap()
        });
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_panic_in_the_logger_loses_only_its_record_task() {
    isolated(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        clients_are_served(|auth, context| {
            let running = runtime.block_on(auth.start_async(context)).unwrap();
            || runtime.block_on(running.stop()).unwrap()
        });
    });
}
