//! Allocations of a decision: a request that no callback decides costs none, once the handler is warm and nothing is
//! logged. A separate binary, because it counts every allocation of the process except those of the test's own thread.
#![allow(unsafe_code)]

mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{log, zap};
use zmq_auth::{Authenticator, Certificate};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // A type without constructor and destructor, so that an allocator may use it.
    static NOT_COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !NOT_COUNTED.try_with(Cell::get).unwrap_or(true) {
        COUNT.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The test's policy, with every source that runs no code of the program.
fn policy(keys: &std::path::Path, listed: &zmq_auth::PublicKey, password: &str) -> Authenticator {
    let auth = Authenticator::new();
    auth.allow(["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]).unwrap();
    auth.deny(["127.0.0.9", "fd00::9"]).unwrap();
    auth.configure_plain("table", [("alice", password), ("bob", password)]).unwrap();
    auth.configure_curve_keys("set", [*listed]).unwrap();
    auth.configure_curve("directory", keys).unwrap();
    auth.configure_curve("any", zmq_auth::CURVE_ALLOW_ANY).unwrap();
    auth
}

#[test]
fn deciding_costs_no_allocation() {
    NOT_COUNTED.set(true);
    log::install();
    let (listed, in_file, unknown) = (log::stranger(), log::keys(), log::stranger());
    let password = log::password("allocations");
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::from(in_file.public).with_metadata("role", "reader").unwrap();
    certificate.save_public(directory.path().join("reader.key")).unwrap();
    let auth = policy(directory.path(), &listed, &password);
    let context = zmq::Context::new();
    let running = auth.start(&context).unwrap();
    let asker = zap::Asker::connect(&context);
    ::log::set_max_level(::log::LevelFilter::Off);

    let local = "127.0.0.1";
    let request = zap::request;
    let cases = [
        ("NULL", 200, request("", local, "NULL", &[])),
        ("NULL over IPv6", 200, request("d", "fd00::1", "NULL", &[])),
        ("a denied address", 400, request("d", "127.0.0.9", "NULL", &[])),
        ("an address that isn't allowed", 400, request("d", "192.0.2.1", "NULL", &[])),
        ("no address", 400, request("d", "nowhere", "NULL", &[])),
        ("the right password", 200, request("table", local, "PLAIN", &[b"alice", password.as_bytes()])),
        ("a wrong password", 400, request("table", local, "PLAIN", &[b"alice", b"zanzibar?"])),
        ("an unknown user", 400, request("table", local, "PLAIN", &[b"mallory", password.as_bytes()])),
        ("a key of a set", 200, request("set", local, "CURVE", &[listed.as_bytes()])),
        ("a key of a directory", 200, request("directory", local, "CURVE", &[in_file.public.as_bytes()])),
        ("any key", 200, request("any", "::ffff:127.0.0.1", "CURVE", &[unknown.as_bytes()])),
        ("a key that isn't in the set", 400, request("set", local, "CURVE", &[unknown.as_bytes()])),
        ("a key that isn't in the directory", 400, request("directory", local, "CURVE", &[unknown.as_bytes()])),
        ("a domain without a source", 400, request("other", local, "CURVE", &[listed.as_bytes()])),
        ("an unknown mechanism", 400, request("table", local, "TOKEN", &[b"x"])),
        ("a key of 31 bytes", 400, request("set", local, "CURVE", &[&listed.as_bytes()[1..]])),
        ("too few frames", 400, request("d", local, "NULL", &[])[..4].to_vec()),
        ("too many frames", 400, request("d", local, "NULL", &[&b""[..]; 40])),
        ("another version", 400, [vec![b"2.0".to_vec()], request("d", local, "NULL", &[])[1..].to_vec()].concat()),
    ];
    let ask = |request: &[Vec<u8>]| {
        asker.ask(request);
        zap::status_of(&asker.reply())
    };
    for (name, status, request) in &cases {
        for _ in 0..100 {
            assert_eq!(ask(request), *status, "{name}");
        }
        let before = COUNT.load(Ordering::SeqCst);
        for _ in 0..500 {
            ask(request);
        }
        assert_eq!(COUNT.load(Ordering::SeqCst) - before, 0, "{name}: allocations in 500 requests");
    }
    // The counter works: a user id that the program makes is an allocation.
    auth.curve_user_id(|key| key.to_string());
    let before = COUNT.load(Ordering::SeqCst);
    assert_eq!(ask(&cases[8].2), 200);
    assert_ne!(COUNT.load(Ordering::SeqCst), before, "the counter doesn't count");
    running.stop().unwrap();
}
