//! A fleet of servers that follow a bucket, on NATS servers that the tests start.

mod cluster;
mod entries;
mod faults;
mod following;
mod logins;
mod measure;
mod model;
mod node;
mod partition;
mod policy;
mod program;
mod proxy;
mod raw;
mod rights;
#[path = "../program/run.rs"]
mod run;
#[path = "../program/shell.rs"]
mod shell;
mod tls;

use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, KeyPair, NatsBucket, NatsFollower, Password, PublicKey};

/// How long to wait for an event that must happen: generous, for busy machines.
const DEADLINE: Duration = Duration::from_secs(60);
const DOMAIN: &str = "lab";
const BUCKET: &str = "clients";
/// The password of both NATS users. No test prints it.
const PASSWORD: &str = "zanzibar of the fleet";

/// Polls a condition that no event announces, a hundred times a second.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn key() -> PublicKey {
    KeyPair::generate().unwrap().public
}

/// The bucket, for a user of the NATS servers.
fn bucket(urls: &str, user: &str) -> NatsBucket {
    NatsBucket::new(urls, BUCKET).unwrap().login(user, &Password::from(PASSWORD))
}

/// A server that follows the bucket.
struct Server {
    follower: NatsFollower,
    auth: Authenticator,
}

impl Server {
    fn start(urls: &str) -> Self {
        Server::named("server-1", &bucket(urls, "server-1").heartbeat(Duration::from_millis(200)).unwrap())
    }

    fn named(name: &str, bucket: &NatsBucket) -> Self {
        let (auth, follower) = (Authenticator::new(), bucket.follow(DOMAIN, name).unwrap());
        auth.configure_curve_pushed(DOMAIN, follower.credentials()).unwrap();
        auth.configure_plain_pushed(DOMAIN, follower.credentials()).unwrap();
        Server { follower, auth }
    }

    fn decide(&self, mechanism: &[&[u8]]) -> u16 {
        let request = [&[b"1.0" as &[u8], b"1", DOMAIN.as_bytes(), b"127.0.0.1", b""], mechanism].concat();
        let reply = self.auth.handle_zap_message(&request).unwrap();
        std::str::from_utf8(&reply[2]).unwrap().parse().unwrap()
    }

    fn curve(&self, key: &PublicKey) -> u16 {
        self.decide(&[b"CURVE", key.as_bytes()])
    }

    fn plain(&self, user: &str, password: &str) -> u16 {
        self.decide(&[b"PLAIN", user.as_bytes(), password.as_bytes()])
    }

    #[track_caller]
    fn wait_for(&self, key: &PublicKey, status: u16) {
        let start = Instant::now();
        let mut last = 0;
        while last != status {
            assert!(start.elapsed() < DEADLINE, "{last}, not {status}: {:?}", self.follower.status());
            last = self.curve(key);
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn is_stale(&self) -> bool {
        self.follower.status().credentials.is_stale
    }

    fn problem(&self) -> String {
        self.follower.status().problem.unwrap_or_default()
    }
}
