//! No wake-up of the async handler is lost under load: 100,000 requests from 16 sockets, each with 64 outstanding, while the
//! policy keeps changing. After a lost wake-up, a socket would get no replies until its deadline.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use zmq_auth::{Authenticator, PublicKey};

use crate::harness::front_end::{FrontEnd, async_behaviours};
use crate::harness::zap::{self, Asker, answer, question};
use crate::harness::{DEADLINE, domain, log};

const SOCKETS: usize = 16;
const REQUESTS: usize = 100_000 / SOCKETS;
const WINDOW: usize = 64;

async_behaviours!(
    every_request_is_answered_and_unchanged_domains_decide_correctly,
    every_request_is_answered_while_most_are_refused_with_300,
);

fn every_request_is_answered_and_unchanged_domains_decide_correctly(front_end: FrontEnd) {
    let domains = Domains::new();
    let authenticator = Authenticator::new();
    domains.configure(&authenticator);
    let context = zmq::Context::new();
    let running = front_end.start(&authenticator, &context);

    let (done, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                domains.change(&authenticator);
                changes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let askers: Vec<_> = (0..SOCKETS).map(|_| scope.spawn(|| domains.ask(&Asker::connect(&context)))).collect();
        let results: Vec<_> = askers.into_iter().map(|asker| asker.join()).collect();
        // Before any panic propagates: the scope waits for the thread that makes changes.
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        }
    });
    let counters = authenticator.counters();
    let answered = counters.allowed + counters.denied + counters.retried + counters.faults;
    assert_eq!((answered, counters.dropped), ((SOCKETS * REQUESTS) as u64, 0));
    assert_eq!((counters.calls_refused, counters.calls_timed_out, counters.faults), (0, 0, 0));
    assert!(changes.into_inner() > 100, "the policy hardly changed");
    running.stop().unwrap();
}

/// Only one callback may run, so most requests get 300 as soon as the handler has read them, without a callback.
fn every_request_is_answered_while_most_are_refused_with_300(front_end: FrontEnd) {
    let domain = domain("narrow");
    let authenticator = Authenticator::new();
    authenticator.limit_async_callbacks(1).unwrap();
    let callback = |_, _, _| async {
        tokio::task::yield_now().await;
        true
    };
    authenticator.configure_plain_callback_async(&domain, callback).unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let asker = Asker::connect(&context);
                for _ in 0..1000 {
                    // Few at a time, so that the socket is often empty: that is when a wake-up could be lost.
                    (0..3).for_each(|n| asker.ask(&question(&domain, &n.to_string())));
                    (0..3).for_each(|_| assert!(matches!(answer(&asker).1, 200 | 300)));
                }
            });
        }
    });
    let counters = authenticator.counters();
    assert_eq!(counters.allowed + counters.calls_refused, 12_000);
    assert!(counters.calls_refused > 100 && counters.allowed > 100, "{counters:?}");
}

/// Domains that don't change, and others that do.
struct Domains {
    table: String,
    keys: String,
    callback: String,
    sync_callback: String,
    changing: String,
    password: String,
    member: PublicKey,
    stranger: PublicKey,
    changing_key: PublicKey,
}

impl Domains {
    fn new() -> Self {
        Domains {
            table: domain("table"),
            keys: domain("keys"),
            callback: domain("callback"),
            sync_callback: domain("sync-callback"),
            changing: domain("changing"),
            password: log::password("of alice"),
            member: log::stranger(),
            stranger: log::stranger(),
            changing_key: log::stranger(),
        }
    }

    fn configure(&self, authenticator: &Authenticator) {
        authenticator.set_addresses(["127.0.0.1"], ["203.0.113.1"]).unwrap();
        authenticator.configure_plain(&self.table, [("alice", self.password.as_str())]).unwrap();
        authenticator.configure_curve_keys(&self.keys, [self.member]).unwrap();
        let member = self.member;
        let callback = move |key: PublicKey| async move {
            tokio::task::yield_now().await;
            key == member
        };
        authenticator.configure_curve_callback_async(&self.callback, move |key, _| callback(key)).unwrap();
        authenticator.configure_curve_callback(&self.sync_callback, move |key, _| *key == member).unwrap();
        // More than can be outstanding.
        authenticator.limit_async_callbacks(2 * SOCKETS * WINDOW).unwrap();
        authenticator.limit_callbacks(SOCKETS * WINDOW, DEADLINE).unwrap();
    }

    /// One round of changes, after each of which `127.0.0.1` is allowed and `203.0.113.1` is not.
    fn change(&self, authenticator: &Authenticator) {
        authenticator.set_addresses(["127.0.0.0/8", "10.0.0.0/8"], ["203.0.113.0/24"]).unwrap();
        authenticator.add_curve_key(&self.changing, self.changing_key).unwrap();
        authenticator.configure_plain(&self.changing, [("alice", self.password.as_str())]).unwrap();
        authenticator.remove_curve_key(&self.changing, &self.changing_key).unwrap();
        authenticator.remove_domain(&self.changing);
        authenticator.set_addresses(["127.0.0.1", "203.0.113.1"], ["203.0.113.1", "10.0.0.0/8"]).unwrap();
        authenticator.configure_curve_callback_async(&self.changing, |_, _| async { true }).unwrap();
        authenticator.configure_curve_keys(&self.changing, [self.changing_key]).unwrap();
    }

    /// The n-th request, and the expected status: `None` if it depends on the moment, because the policy changes.
    fn question(&self, n: usize) -> (Vec<Vec<u8>>, Option<u16>) {
        let here = "127.0.0.1";
        let plain = |domain: &str, user: &[u8]| zap::request(domain, here, "PLAIN", &[user, self.password.as_bytes()]);
        let curve = |domain: &str, key: &PublicKey| zap::request(domain, here, "CURVE", &[key.as_bytes()]);
        match n % 12 {
            0 => (plain(&self.table, b"alice"), Some(200)),
            1 => (plain(&self.table, b"mallory"), Some(400)),
            2 => (curve(&self.keys, &self.member), Some(200)),
            3 => (curve(&self.keys, &self.changing_key), Some(400)),
            4 => (curve(&self.callback, &self.member), Some(200)),
            5 => (curve(&self.callback, &self.stranger), Some(400)),
            6 => (curve(&self.changing, &self.changing_key), None),
            7 => (plain(&self.changing, b"alice"), None),
            8 => (zap::request(&self.table, "203.0.113.1", "NULL", &[]), Some(400)),
            9 => (zap::request(&self.table, "10.0.0.1", "NULL", &[]), None),
            // Only every tenth: each needs a thread, and more would take most of the test's time.
            10 if n % 120 == 10 => (curve(&self.sync_callback, &self.member), Some(200)),
            10 => (zap::request(&self.table, here, "NULL", &[]), Some(200)),
            _ => (curve(&self.changing, &self.stranger), None),
        }
    }

    /// Sends all of one socket's requests, with a full window, and checks each reply.
    fn ask(&self, asker: &Asker) {
        let mut outstanding = HashMap::new();
        let mut next = 0;
        while next < REQUESTS || !outstanding.is_empty() {
            while next < REQUESTS && outstanding.len() < WINDOW {
                let (mut request, expected) = self.question(next);
                request[1] = next.to_string().into_bytes();
                asker.ask(&request);
                outstanding.insert(next, expected);
                next += 1;
            }
            let reply = asker.reply();
            let n: usize = std::str::from_utf8(&reply[1]).unwrap().parse().unwrap();
            let expected = outstanding.remove(&n).expect("a reply to an outstanding request");
            let status = zap::status_of(&reply);
            match expected {
                Some(expected) => assert_eq!(status, expected, "kind of request: {}", n % 12),
                // 300 if a callback was replaced while it ran.
                None if matches!(n % 12, 6 | 11) => assert!(matches!(status, 200 | 300 | 400), "{status}"),
                None => assert!(matches!(status, 200 | 400), "{status}, kind of request: {}", n % 12),
            }
        }
    }
}
