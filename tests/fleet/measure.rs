//! Figures of a fleet, on demand: `cargo test --release -p zmq-auth-fleet -- --ignored --nocapture measure`.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Metadata, Moment, OnStale, PublicKey, PushedCredentials};

use crate::node::{Cluster, Node};
use crate::{DOMAIN, Server, bucket, key};

/// How long one step of a measurement may take.
const LONGEST: Duration = Duration::from_secs(300);

/// Held by each measurement: they run one after the other, whatever the number of test threads.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until each server answers a client with this key with this status.
#[track_caller]
fn wait_for_all(servers: &[Server], key: &PublicKey, status: u16) {
    let end = Instant::now() + LONGEST;
    for server in servers {
        while server.curve(key) != status {
            assert!(Instant::now() < end, "not {status} within {LONGEST:?}: {:?}", server.follower.status());
            thread::park_timeout(Duration::from_micros(100));
        }
    }
}

/// The time from an acknowledged removal to the refusal at the last of five servers.
#[test]
#[ignore = "a measurement"]
fn measure_revocation() {
    let _turn = turn();
    let (node, cluster) = (Node::start(), Cluster::start());
    for (name, urls) in [("one NATS server", node.url()), ("three NATS servers, three replicas", cluster.urls())] {
        let servers: Vec<Server> =
            (1..6).map(|number| Server::named(&format!("server-{number}"), &bucket(&urls, "admin"))).collect();
        let writer = bucket(&urls, "admin").writer().unwrap();
        println!("{name}: five servers have started");
        let mut times: Vec<(Duration, Duration)> = (0..200)
            .map(|_| {
                let key = key();
                writer.add_key(DOMAIN, &key, &Metadata::default()).unwrap();
                wait_for_all(&servers, &key, 200);
                let start = Instant::now();
                thread::scope(|scope| {
                    let refused = scope.spawn(|| {
                        wait_for_all(&servers, &key, 400);
                        start.elapsed()
                    });
                    writer.remove_key(DOMAIN, &key).unwrap();
                    let acknowledged = start.elapsed();
                    (refused.join().unwrap(), acknowledged)
                })
            })
            .collect();
        times.sort();
        let at = |place: usize| times[place].0;
        println!(
            "{name}: from the call to the last refusal: p50 {:?}, p99 {:?}, worst {:?}",
            at(100),
            at(198),
            at(199)
        );
        times.sort_by_key(|(_, acknowledged)| *acknowledged);
        println!("{name}: the call itself: p50 {:?}, p99 {:?}", times[100].1, times[198].1);
    }
}

/// The memory of a million keys without metadata.
#[test]
#[ignore = "a measurement"]
fn measure_a_million_keys() {
    let _turn = turn();
    const KEYS: u32 = 1_000_000;
    let number = |number: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        PublicKey::from(bytes)
    };
    let credentials = PushedCredentials::new("a million");
    let (before, start) = (resident(), Instant::now());
    credentials.replace_keys((0..KEYS).map(|at| (number(at), Metadata::default()))).unwrap();
    credentials.caught_up(Moment::now());
    println!("replace_keys: {:?}", start.elapsed());
    println!("{} bytes a key", resident().saturating_sub(before) / KEYS as usize);
    let start = Instant::now();
    (0..10_000).for_each(|at| assert!(credentials.remove_key(&number(at))));
    println!("a removal: {:?}", start.elapsed() / 10_000);
    credentials.limit_age(Duration::from_secs(1), OnStale::Refuse).unwrap();
}

/// Decisions by pushed keys and by a set in memory, in turns.
#[test]
#[ignore = "a measurement"]
fn measure_decisions() {
    let _turn = turn();
    const KEYS: usize = 10_000;
    const ROUNDS: usize = 20;
    let keys: Vec<PublicKey> = (0..KEYS).map(|_| key()).collect();
    let (set, pushed) = (Authenticator::new(), Authenticator::new());
    set.configure_curve_keys(DOMAIN, keys.iter().copied()).unwrap();
    let credentials = PushedCredentials::new("pushed");
    credentials.replace_keys(keys.iter().map(|key| (*key, Metadata::default()))).unwrap();
    credentials.caught_up(Moment::now());
    pushed.configure_curve_pushed(DOMAIN, &credentials).unwrap();
    let decide = |auth: &Authenticator| {
        let start = Instant::now();
        for key in &keys {
            let request = [b"1.0", &b"1"[..], DOMAIN.as_bytes(), b"127.0.0.1", b"", b"CURVE", key.as_bytes()];
            assert_eq!(auth.handle_zap_message(&request).unwrap()[2], b"200");
        }
        start.elapsed()
    };
    let mut times: Vec<(Duration, Duration)> = (0..ROUNDS).map(|_| (decide(&set), decide(&pushed))).collect();
    let best = |times: &mut [(Duration, Duration)], which: fn(&(Duration, Duration)) -> Duration| {
        times.iter().map(which).min().unwrap().as_secs_f64()
    };
    let (of_set, of_pushed) = (best(&mut times, |pair| pair.0), best(&mut times, |pair| pair.1));
    println!("{:.0} decisions/s by a set, {:.0} by pushed keys", KEYS as f64 / of_set, KEYS as f64 / of_pushed);
    println!("pushed keys are {:.3} times as fast", of_set / of_pushed);
}

/// The time from the call of a removal to the refusal at the last of many followers in this process.
#[test]
#[ignore = "a measurement"]
fn measure_fan_out() {
    let _turn = turn();
    let followers: usize = std::env::var("ZMQ_AUTH_FLEET_FOLLOWERS").map_or(1_000, |number| number.parse().unwrap());
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let first = key();
    writer.add_key(DOMAIN, &first, &Metadata::default()).unwrap();
    let bucket = bucket(&node.url(), "admin").heartbeat(Duration::from_secs(30)).unwrap();
    let (start, mut servers) = (Instant::now(), Vec::new());
    while servers.len() < followers {
        // Some at a time: if a thousand connect at once, most answers take longer than a follower waits for them.
        let next = (servers.len() + 50).min(followers);
        servers.extend((servers.len()..next).map(|number| Server::named(&format!("server-{number}"), &bucket)));
        wait_for_all(&servers, &first, 200);
        println!("{next} followers are in contact after {:?}", start.elapsed());
    }
    let mut times: Vec<Duration> = (1..=20)
        .map(|round| {
            let key = key();
            writer.add_key(DOMAIN, &key, &Metadata::default()).unwrap();
            wait_for_all(&servers, &key, 200);
            let start = Instant::now();
            writer.remove_key(DOMAIN, &key).unwrap();
            wait_for_all(&servers, &key, 400);
            let time = start.elapsed();
            println!("round {round} of 20: {time:?}");
            time
        })
        .collect();
    times.sort();
    println!(
        "{followers} followers: from the call to the last refusal: median {:?}, worst of 20 {:?}",
        times[10], times[19]
    );
}

/// A follower's snapshot (of 1,000,000 keys, or the number in ZMQ_AUTH_FLEET_KEYS), and changes after it.
#[test]
#[ignore = "a measurement"]
fn measure_a_snapshot() {
    let _turn = turn();
    let number: usize = std::env::var("ZMQ_AUTH_FLEET_KEYS").map_or(1_000_000, |number| number.parse().unwrap());
    let changes = (number / 10).min(50_000);
    let mut node = Node::new(None);
    // A million writes, each synced to disk, would take an hour, and aren't what is measured.
    node.sync = "2m";
    node.run();
    bucket(&node.url(), "admin").create(1).unwrap();
    let keys: Vec<PublicKey> = (0..number + changes)
        .map(|at| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&at.to_le_bytes());
            PublicKey::from(bytes)
        })
        .collect();
    let write = |keys: &[PublicKey]| {
        crate::raw::run(async {
            let context = crate::raw::context(&node.url(), "admin").await;
            for (number, part) in keys.chunks(2_000).enumerate() {
                if number.is_multiple_of(50) {
                    println!("{} of {} keys are written", number * 2_000, keys.len());
                }
                let mut last = None;
                for key in part {
                    let name = crate::raw::key_name(DOMAIN, key.as_bytes());
                    let subject = format!("$KV.{}.{name}", crate::BUCKET);
                    last = Some(context.publish(subject, r#"{"format":1}"#.into()).await.unwrap());
                }
                last.unwrap().await.unwrap();
            }
        });
    };
    let start = Instant::now();
    write(&keys[..number]);
    println!("{number} keys are written after {:?}", start.elapsed());
    let (before, start) = (resident(), Instant::now());
    let server = Server::named("server-1", &bucket(&node.url(), "admin"));
    while server.follower.status().credentials.keys < number {
        assert!(start.elapsed() < LONGEST, "{:?}", server.follower.status());
        thread::park_timeout(Duration::from_millis(10));
    }
    println!("a snapshot of {number} keys: {:?}", start.elapsed());
    println!("{} bytes a key, with all of the follower", resident().saturating_sub(before) / number);
    let start = Instant::now();
    write(&keys[number..]);
    let written = start.elapsed();
    while server.follower.status().credentials.keys < keys.len() {
        assert!(start.elapsed() < LONGEST, "{:?}", server.follower.status());
        thread::park_timeout(Duration::from_millis(10));
    }
    let all = start.elapsed();
    println!("{changes} changes: written in {written:?}, in force {all:?} after the first");
    println!("{:.0} changes/s", changes as f64 / all.as_secs_f64());
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
