//! Figures of a fleet, on demand: `cargo test -p zmq-auth-fleet -- --ignored --nocapture measure`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::{Metadata, Moment, OnStale, PublicKey, PushedCredentials};

use crate::node::{Cluster, Node};
use crate::{DOMAIN, Server, bucket, key};

/// From the acknowledged removal to the refusal at the last of five servers.
#[test]
#[ignore = "a measurement"]
fn measure_revocation() {
    let (node, cluster) = (Node::start(), Cluster::start());
    for (name, urls) in [("one NATS server", node.url()), ("three NATS servers, three replicas", cluster.urls())] {
        let servers: Vec<Server> =
            (1..6).map(|number| Server::named(&format!("server-{number}"), &bucket(&urls, "admin"))).collect();
        let writer = bucket(&urls, "admin").writer().unwrap();
        let mut times: Vec<(Duration, Duration)> = (0..200)
            .map(|_| {
                let key = key();
                writer.add_key(DOMAIN, &key, &Metadata::default()).unwrap();
                servers.iter().for_each(|server| server.wait_for(&key, 200));
                let start = Instant::now();
                thread::scope(|scope| {
                    let refused = scope.spawn(|| {
                        while servers.iter().any(|server| server.curve(&key) == 200) {}
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

/// What a million keys without metadata take.
#[test]
#[ignore = "a measurement"]
fn measure_a_million_keys() {
    const KEYS: u32 = 1_000_000;
    let resident = || -> usize {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
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

/// A follower's snapshot of 100,000 keys, and changes after it.
#[test]
#[ignore = "a measurement"]
fn measure_a_snapshot() {
    const KEYS: usize = 100_000;
    let node = Node::start();
    let keys: Vec<PublicKey> = (0..KEYS).map(|_| key()).collect();
    let write = |keys: &[PublicKey]| {
        crate::raw::run(async {
            let context = crate::raw::context(&node.url(), "admin").await;
            for part in keys.chunks(500) {
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
    write(&keys[..KEYS / 2]);
    let start = Instant::now();
    let server = Server::named("server-1", &bucket(&node.url(), "admin"));
    server.wait_for(&keys[0], 200);
    println!("a snapshot of {} keys: {:?}", KEYS / 2, start.elapsed());
    let start = Instant::now();
    write(&keys[KEYS / 2..]);
    let written = start.elapsed();
    server.wait_for(&keys[KEYS - 1], 200);
    println!("{} changes: written in {written:?}, in force {:?} after the first", KEYS / 2, start.elapsed());
}
