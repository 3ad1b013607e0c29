//! The wall clock, set back and forward while the program runs, and a machine that was suspended.
//!
//! A test must not set the machine's clock. But Rust's `SystemTime` (and libzmq) ask the C library, and a function of the same
//! name in the program takes precedence: below is one with an offset, which is 0 in every other test of this binary. The
//! kernel still stamps files with the machine's own time, as if only the program's clock were wrong; only the difference
//! matters. The monotonic clock, which measures every deadline here, can't be set in reality either.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fs::{self, FileTimes};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zmq_auth::{
    Authenticator, Certificate, EventKind, KeyDirectory, Metadata, Moment, OnStale, PublicKey, PushedCredentials,
};

use crate::harness::process::isolated;
use crate::harness::zap::{self, Asker};
use crate::harness::{domain, log};

static OFFSET: AtomicI64 = AtomicI64::new(0);
/// How long the machine seems to have been suspended, in seconds.
static SUSPENDED: AtomicI64 = AtomicI64::new(0);

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The C library's function: the kernel's time, plus the offset.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: the caller guarantees that `time` is valid, and the kernel checks it.
    let rc = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as c_int;
    if rc == 0 && clock == libc::CLOCK_REALTIME {
        // SAFETY: the kernel has just written there.
        unsafe { (*time).tv_sec += OFFSET.load(Ordering::Relaxed) };
    }
    if rc == 0 && clock == libc::CLOCK_BOOTTIME {
        // SAFETY: as above.
        unsafe { (*time).tv_sec += SUSPENDED.load(Ordering::Relaxed) };
    }
    rc
}

/// Sets the offset of the clock, and checks that it is seen.
fn set(seconds: i64) {
    OFFSET.store(0, Ordering::Relaxed);
    let epoch = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    };
    let right = epoch(SystemTime::now());
    OFFSET.store(seconds, Ordering::Relaxed);
    let moved = epoch(SystemTime::now()) - right - seconds;
    assert!((-1..=60).contains(&moved), "the clock doesn't follow: {moved} s");
}

fn certificate(key: &PublicKey, metadata: &str) -> String {
    format!("metadata\n{metadata}curve\n    public-key = \"{key}\"\n")
}

/// The time with this offset, in a certificate's format.
fn rfc3339(seconds: i64) -> String {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    time.to_string()
}

#[test]
fn a_certificate_is_good_by_the_clock_as_it_is_now() {
    isolated(|| {
        log::install();
        let (dir, key, ever) = (tempfile::tempdir().unwrap(), PublicKey::from([1; 32]), PublicKey::from([2; 32]));
        let times = format!("    not-before = \"{}\"\n    not-after = \"{}\"\n", rfc3339(-HOUR), rfc3339(HOUR));
        fs::write(dir.path().join("a.key"), certificate(&key, &times)).unwrap();
        fs::write(dir.path().join("b.key"), certificate(&ever, "")).unwrap();
        let (auth, keys) = (Authenticator::new(), KeyDirectory::open(&dir).unwrap());
        auth.configure_curve_store("follows", &keys).unwrap();
        auth.configure_curve("once", dir.path()).unwrap();
        let years = 365 * DAY;
        for (offset, expected) in [
            (0, 200),
            (-2 * HOUR, 400),
            (0, 200),
            (2 * HOUR, 400),
            (-2 * HOUR, 400),
            // Before 1970, and about as far as a kernel's clock goes.
            (-100 * years, 400),
            (200 * years, 400),
            (0, 200),
        ] {
            set(offset);
            for domain in ["follows", "once"] {
                assert_eq!(zap::curve(&auth, domain, &key), expected, "{offset} s");
                assert_eq!(zap::curve(&auth, domain, &ever), 200, "{offset} s");
            }
            keys.reload().unwrap();
            assert_eq!(zap::curve(&auth, "follows", &key), expected, "{offset} s, read again");
        }
    });
}

#[test]
fn changes_of_files_are_seen_whatever_the_clock_says() {
    isolated(|| {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.key");
        let write = |number: u8| {
            fs::write(&file, certificate(&PublicKey::from([number; 32]), "")).unwrap();
            // Every version of the file has the same modification time.
            let time = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
            fs::File::options().write(true).open(&file).unwrap().set_times(time).unwrap();
        };
        write(0);
        let (auth, keys) = (Authenticator::new(), KeyDirectory::open(&dir).unwrap());
        auth.configure_curve_store("lab", &keys).unwrap();
        // Ahead: a new file looks old, so its stat is relied on. Back: all files are in the future.
        for (number, offset) in (1..).zip([0, DAY, -DAY, 0, DAY, 0, -100 * 365 * DAY, DAY, 0]) {
            set(offset);
            keys.reload().unwrap();
            write(number);
            keys.reload().unwrap();
            let old = PublicKey::from([number - 1; 32]);
            assert_eq!(zap::curve(&auth, "lab", &PublicKey::from([number; 32])), 200, "{offset} s");
            assert_eq!(zap::curve(&auth, "lab", &old), 400, "{offset} s");
        }
    });
}

#[test]
fn deadlines_and_pauses_do_not_follow_the_wall_clock() {
    isolated(|| {
        let (slow, shop) = (domain("slow"), domain("shop"));
        let (context, auth) = (zmq::Context::new(), Authenticator::new());
        auth.limit_callbacks(8, Duration::from_millis(300)).unwrap();
        let (barrier, _open_on_drop) = crate::harness::barrier::Barrier::new();
        let inside = barrier.clone();
        auth.configure_plain_callback(&slow, move |_, _, _| {
            inside.wait();
            true
        })
        .unwrap();
        let password = log::password("right");
        auth.configure_plain(&shop, [("alice", password.as_str())]).unwrap();
        auth.limit_failures(2, Duration::from_secs(600), Duration::from_secs(600)).unwrap();
        let events = auth.events(100);
        let _running = auth.start(&context).unwrap();
        let asker = Asker::connect(&context);
        for offset in [-DAY, DAY, -DAY] {
            set(0);
            asker.ask(&zap::request(&slow, "10.0.0.1", "PLAIN", &[b"alice", password.as_bytes()]));
            barrier.wait_for(1);
            set(offset);
            let start = Instant::now();
            assert_eq!(zap::status_of(&asker.reply()), 300);
            assert!(start.elapsed() < Duration::from_secs(20), "a deadline of 300 ms");
            barrier.open();
            barrier.wait_for(0);
            barrier.close();
        }
        let ask = |word: &[u8]| {
            asker.ask(&zap::request(&shop, "10.0.0.2", "PLAIN", &[b"alice", word]));
            zap::status_of(&asker.reply())
        };
        assert_eq!([ask(b"guess"), ask(b"guess"), ask(password.as_bytes())], [400, 400, 300]);
        for offset in [DAY, -DAY, 0] {
            set(offset);
            assert_eq!(ask(password.as_bytes()), 300, "the pause is 600 s, not a matter of the clock");
        }
        // Events say what the clock said.
        let last = std::iter::from_fn(|| events.try_next()).filter(|event| event.kind == EventKind::Denied).last();
        assert!(last.is_some());
    });
}

#[test]
fn certificates_are_saved_whatever_the_clock_says() {
    isolated(|| {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        for offset in [0, -DAY, -100 * 365 * DAY, 200 * 365 * DAY] {
            set(offset);
            let certificate = Certificate::generate().unwrap();
            let (_, secret) = certificate.replace_pair(&dir, "server").unwrap();
            assert_eq!(Certificate::load(secret).unwrap(), certificate);
        }
    });
}

/// While a machine is suspended, the monotonic clock stands still, and the one that counts from the boot goes on.
#[test]
fn a_machine_that_was_suspended_has_no_fresh_contact() {
    isolated(|| {
        log::install();
        let (auth, credentials, key) =
            (Authenticator::new(), PushedCredentials::new("staff"), PublicKey::from([1; 32]));
        auth.configure_curve_pushed("lab", &credentials).unwrap();
        credentials.put_key(key, &Metadata::default()).unwrap();
        credentials.limit_age(Duration::from_secs(600), OnStale::Refuse).unwrap();
        credentials.caught_up(Moment::now());
        let asked = Moment::now();
        for (wall, suspended, expected) in
            [(DAY, 0, 200), (-DAY, 0, 200), (0, 300, 200), (0, 601, 300), (-DAY, DAY, 300)]
        {
            set(wall);
            SUSPENDED.store(suspended, Ordering::Relaxed);
            assert_eq!(zap::curve(&auth, "lab", &key), expected, "{suspended} s suspended");
            assert!(asked.elapsed() >= Duration::from_secs(suspended as u64));
        }
        credentials.caught_up(asked);
        assert_eq!(zap::curve(&auth, "lab", &key), 300, "asked before it was suspended");
        credentials.caught_up(Moment::now());
        assert_eq!(zap::curve(&auth, "lab", &key), 200);
    });
}
