//! A hundred thousand panicking callbacks, with payloads that use memory: all of it is freed. A separate binary, because it
//! measures the memory of the process.
#![cfg(target_os = "linux")]

mod harness;

use harness::front_end::FrontEnd;
use harness::system::give_back_free_memory;
use harness::usage::resident;
use harness::zap::{self, Asker};
use harness::{domain, log};
use zmq_auth::Authenticator;

const PANICS: usize = 100_000;
/// Requested together, so that the handler is never idle.
const WINDOW: usize = 50;
/// 100,000 payloads would take 50 MB if they were kept. A tenth of that is allowed.
const PAYLOAD: usize = 512;
const ALLOWED_KIB: u64 = 5 * 1024;

/// A payload that panics with another one when it is dropped.
struct PanicsWhenDropped([u8; PAYLOAD]);

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        std::panic::panic_any(vec![self.0[0]; PAYLOAD]);
    }
}

fn panics(domain: &str) -> Authenticator {
    log::install();
    // Don't print a hundred thousand messages.
    std::panic::set_hook(Box::new(|_| {}));
    ::log::set_max_level(::log::LevelFilter::Off);
    let auth = Authenticator::new();
    auth.limit_callbacks(64, harness::DEADLINE).unwrap();
    auth.configure_plain_callback(domain, |_, _, _| -> bool { std::panic::panic_any(vec![1; PAYLOAD]) }).unwrap();
    auth.configure_curve_callback(domain, |_, _| -> bool { std::panic::panic_any(PanicsWhenDropped([1; PAYLOAD])) })
        .unwrap();
    auth
}

fn in_use() -> u64 {
    give_back_free_memory();
    resident(std::process::id())
}

/// Runs the panics, and measures the remaining memory, after a tenth of them has allocated everything that is kept once.
fn measure(name: &str, mut batch: impl FnMut()) {
    (0..PANICS / WINDOW / 10).for_each(|_| batch());
    let before = in_use();
    (0..PANICS / WINDOW).for_each(|_| batch());
    let after = in_use();
    println!("{name}: {before} KiB in use before {PANICS} panics, {after} KiB after them");
    assert!(after <= before + ALLOWED_KIB, "{name}: {before} KiB, then {after} KiB");
}

/// Half of them have payloads that panic when dropped.
fn through_a_handler(front_end: FrontEnd, auth: &Authenticator, domain: &str) {
    let context = zmq::Context::new();
    let _running = front_end.start(auth, &context);
    let asker = Asker::connect(&context);
    let plain = zap::request(domain, "127.0.0.1", "PLAIN", &[b"alice", b"any"]);
    let curve = zap::request(domain, "127.0.0.1", "CURVE", &[&[7; 32]]);
    measure(&format!("{front_end:?}, {domain}"), || {
        (0..WINDOW).for_each(|n| asker.ask(if n % 2 == 0 { &plain } else { &curve }));
        (0..WINDOW).for_each(|_| assert_eq!(zap::status_of(&asker.reply()), 500));
    });
}

/// One after the other, because they share the process.
#[test]
fn a_hundred_thousand_panics_of_callbacks_leave_no_memory_behind() {
    let sync = domain("sync");
    let auth = panics(&sync);
    let (plain, curve) = (
        zap::request(&sync, "127.0.0.1", "PLAIN", &[b"alice", b"any"]),
        zap::request(&sync, "127.0.0.1", "CURVE", &[&[7; 32]]),
    );
    measure("without a handler", || {
        for n in 0..WINDOW {
            assert_eq!(zap::status(&auth, if n % 2 == 0 { &plain } else { &curve }), 500);
        }
    });
    through_a_handler(FrontEnd::Thread, &auth, &sync);
    #[cfg(feature = "tokio")]
    {
        let name = domain("async");
        auth.configure_plain_callback_async(&name, |_, _, _| async {
            if true {
                std::panic::panic_any(vec![1; PAYLOAD]);
            }
            true
        })
        .unwrap();
        auth.configure_curve_callback_async(&name, |_, _| async {
            if true {
                std::panic::panic_any(PanicsWhenDropped([1; PAYLOAD]));
            }
            true
        })
        .unwrap();
        through_a_handler(FrontEnd::CurrentThread, &auth, &name);
    }
}
