//! A hundred thousand panics of callbacks, with payloads that cost memory: it is all given back. In a binary of its own: the
//! memory of the process is measured.
#![cfg(target_os = "linux")]

mod harness;

use harness::front_end::FrontEnd;
use harness::system::give_back_free_memory;
use harness::usage::resident;
use harness::zap::{self, Asker};
use harness::{domain, log};
use zmq_auth::Authenticator;

const PANICS: usize = 100_000;
/// Asked for together, so that the handler is never idle.
const WINDOW: usize = 50;
/// What 100,000 payloads would take, if they were kept: 50 MB. What is allowed for: a tenth of it.
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
    // A hundred thousand messages say nothing.
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

/// Runs the panics, and measures what they leave, after a tenth of them have made all that is made once.
fn measure(name: &str, mut batch: impl FnMut()) {
    (0..PANICS / WINDOW / 10).for_each(|_| batch());
    let before = in_use();
    (0..PANICS / WINDOW).for_each(|_| batch());
    let after = in_use();
    println!("{name}: {before} KiB in use before {PANICS} panics, {after} KiB after them");
    assert!(after <= before + ALLOWED_KIB, "{name}: {before} KiB, then {after} KiB");
}

/// Half of them with payloads that panic when they are dropped.
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

/// One after the other: they share the process.
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
