//! Random changes and faults, compared with a naive model: a key that was revoked longer ago than `max_age` is never
//! accepted, nor one that was never in the bucket, and when all is calm, servers and bucket agree.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use zmq_auth::{Metadata, NatsWriter, OnStale, PublicKey};

use crate::node::{Access, Cluster, Node};
use crate::{BUCKET, DEADLINE, DOMAIN, Server, bucket, key, raw, wait_until};

const MAX_AGE: Duration = Duration::from_secs(1);
/// Allowed between a decision and reading the clock, on a busy machine.
const SLACK: Duration = Duration::from_millis(250);
/// The environment variable with the number of steps, for longer runs.
const STEPS: &str = "ZMQ_AUTH_FLEET_STEPS";
const SEED: &str = "ZMQ_AUTH_TEST_SEED";

/// What the model knows of a key.
#[derive(Clone, Copy)]
enum Known {
    Never,
    Allowed,
    /// When the revocation was acknowledged.
    Revoked(Instant),
    /// A write wasn't answered: the key may be there or not.
    Unknown,
}

struct World {
    /// One node, or three with three replicas.
    nodes: Vec<Node>,
    writer: Option<NatsWriter>,
    servers: Vec<Server>,
    keys: HashMap<PublicKey, Known>,
    seed: u64,
    decisions: usize,
}

impl World {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX generator, of which the upper bits are good enough.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % bound
    }

    fn some_key(&mut self) -> PublicKey {
        let mut keys: Vec<_> = self.keys.keys().copied().collect();
        keys.sort();
        keys[self.below(keys.len())]
    }

    fn urls(&self) -> String {
        self.nodes.iter().map(Node::url).collect::<Vec<_>>().join(",")
    }

    fn writer(&mut self) -> Option<&NatsWriter> {
        if self.writer.is_none() {
            self.writer = bucket(&self.urls(), "admin").writer().ok();
        }
        self.writer.as_ref()
    }

    fn change(&mut self) {
        let (key, what) = (self.some_key(), self.below(3));
        let Some(writer) = self.writer() else { return };
        let known = match what {
            0 | 1 => match writer.add_key(DOMAIN, &key, &Metadata::default()) {
                Ok(_) => Known::Allowed,
                Err(zmq_auth::Error::Conflict { .. }) => {
                    assert!(!matches!(self.keys[&key], Known::Never), "the bucket has a key that nobody has written");
                    return;
                }
                Err(_) => Known::Unknown,
            },
            _ => match writer.remove_key(DOMAIN, &key) {
                // A key that wasn't there stays revoked since then.
                Ok(_) if matches!(self.keys[&key], Known::Never | Known::Revoked(_)) => return,
                Ok(_) => Known::Revoked(Instant::now()),
                Err(_) => Known::Unknown,
            },
        };
        self.keys.insert(key, known);
    }

    fn fault(&mut self) {
        let (node, fault) = (self.below(self.nodes.len()), self.below(5));
        println!("fault {fault} of {}", self.nodes[node].name());
        match fault {
            0 => {
                self.nodes[node].kill();
                self.probe_for(MAX_AGE / 2);
                self.nodes[node].run();
            }
            1 => {
                self.nodes[node].signal(Signal::SIGSTOP);
                self.probe_for(MAX_AGE + SLACK);
                self.nodes[node].signal(Signal::SIGCONT);
            }
            2 => {
                // The bucket is deleted and created again: all are revoked.
                let urls = self.urls();
                wait_until("the bucket is gone", || {
                    raw::run(async {
                        let context = raw::context(&urls, "admin").await;
                        let _ = context.delete_key_value(BUCKET).await;
                        let left = context.get_stream(format!("KV_{BUCKET}")).await;
                        left.is_err_and(|error| error.to_string().contains("not found"))
                    })
                });
                let now = Instant::now();
                wait_until("there is a new one", || bucket(&urls, "admin").create(self.nodes.len()).is_ok());
                for known in self.keys.values_mut().filter(|known| !matches!(known, Known::Never)) {
                    *known = Known::Revoked(now);
                }
            }
            3 if self.nodes.len() == 1 => {
                // For a while, only the administrator can log in.
                self.nodes[0].kill();
                self.nodes[0].configure(Access::AdministratorAlone);
                self.nodes[0].run_as_configured();
                (0..3).for_each(|_| self.change());
                self.nodes[0].configure(Access::Everybody);
                self.nodes[0].reload();
            }
            3 => {
                // For a while, there is no quorum.
                (0..2).for_each(|node| self.nodes[node].kill());
                self.probe_for(MAX_AGE * 2);
                (0..2).for_each(|node| self.nodes[node].run());
            }
            _ => {
                let key = self.some_key();
                let (urls, name) = (self.urls(), raw::key_name(DOMAIN, key.as_bytes()));
                self.keys.insert(key, Known::Unknown);
                wait_until("it is written", || raw::try_put(&urls, &name, r#"{"format":7}"#));
                self.keys.insert(key, Known::Revoked(Instant::now()));
            }
        }
    }

    fn probe_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.probe();
        }
    }

    /// Checks that no server accepts a key that it must not.
    fn probe(&mut self) {
        for server in &self.servers {
            for (key, known) in &self.keys {
                let before = Instant::now();
                if server.curve(key) != 200 {
                    continue;
                }
                match known {
                    Known::Never => panic!("a key is accepted that the bucket never had"),
                    Known::Revoked(since) => {
                        let for_so_long = before.duration_since(*since);
                        assert!(for_so_long <= MAX_AGE + SLACK, "accepted {for_so_long:?} after its revocation");
                    }
                    Known::Allowed | Known::Unknown => {}
                }
            }
            self.decisions += self.keys.len();
        }
    }

    /// Checks that servers and bucket agree.
    fn settle(&mut self) {
        let (start, mut model_agrees) = (Instant::now(), false);
        loop {
            let in_bucket = self.writer().and_then(|writer| writer.entries(DOMAIN).ok());
            let agree = in_bucket.is_some_and(|entries| {
                let has = |key: &PublicKey| {
                    entries
                        .iter()
                        .any(|entry| matches!(entry, zmq_auth::BucketEntry::Key { key: held, .. } if held == key))
                };
                let is_right = |(key, known): (&PublicKey, &Known)| match known {
                    Known::Never | Known::Revoked(_) => !has(key),
                    Known::Allowed => has(key),
                    Known::Unknown => true,
                };
                // A former leader that was paused may have answered.
                model_agrees = self.keys.iter().all(is_right);
                let says = |server: &Server, key: &PublicKey| server.curve(key) == if has(key) { 200 } else { 400 };
                model_agrees && self.servers.iter().all(|server| self.keys.keys().all(|key| says(server, key)))
            });
            if agree {
                return;
            }
            self.probe();
            let status = self.servers[0].follower.status();
            assert!(start.elapsed() < DEADLINE, "model and bucket agree: {model_agrees}; {status:?}");
        }
    }
}

#[test]
fn no_server_accepts_who_was_revoked_longer_ago_than_max_age() {
    play(vec![Node::start()], 60);
}

#[test]
fn nor_with_three_nats_servers_and_one_writer_for_all_of_it() {
    play(Cluster::start().nodes, 40);
}

fn play(nodes: Vec<Node>, steps: usize) {
    let steps: usize = std::env::var(STEPS).map_or(steps, |steps| steps.parse().unwrap());
    let seed =
        std::env::var(SEED).map_or_else(|_| u64::from(std::process::id()) << 20 | 1, |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let keys = (0..20).map(|_| (key(), Known::Never)).collect();
    let mut world = World { nodes, writer: None, servers: Vec::new(), keys, seed, decisions: 0 };
    let urls = world.urls();
    let server = |(name, user)| {
        let server = Server::named(name, &bucket(&urls, user).heartbeat(Duration::from_millis(100)).unwrap());
        server.follower.credentials().limit_age(MAX_AGE, OnStale::Refuse).unwrap();
        server
    };
    world.servers = [("server-1", "server-1"), ("server-2", "admin")].map(server).into();
    let mut faults = 0;
    for step in 0..steps {
        match world.below(10) {
            0 => {
                world.fault();
                faults += 1;
            }
            _ => world.change(),
        }
        world.probe();
        if step % 20 == 19 {
            world.settle();
        }
    }
    world.settle();
    wait_until("nothing keeps the servers", || world.servers.iter().all(|server| !server.is_stale()));
    println!("{steps} steps, {faults} faults, {} decisions", world.decisions);
}
