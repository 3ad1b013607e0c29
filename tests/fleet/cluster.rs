//! A cluster of three NATS servers, one or all of which fail.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use zmq_auth::{BucketEntry, Metadata, OnStale, PublicKey};

use crate::node::{Cluster, Node};
use crate::{DOMAIN, Server, bucket, key, raw, wait_until};

/// Asks until there is an answer: a cluster has none while it chooses a leader.
#[track_caller]
fn eventually<T>(what: &str, mut ask: impl FnMut() -> zmq_auth::Result<T>) -> T {
    let mut answer = None;
    wait_until(what, || {
        answer = ask().ok();
        answer.is_some()
    });
    answer.unwrap()
}

/// The keys in the bucket.
fn keys(cluster: &Cluster) -> HashSet<PublicKey> {
    let list = || bucket(&cluster.urls(), "admin").writer().and_then(|writer| writer.entries(DOMAIN));
    let entries = eventually("the bucket can be read", list);
    let key = |entry| match entry {
        BucketEntry::Key { key, .. } => Some(key),
        _ => None,
    };
    entries.into_iter().filter_map(key).collect()
}

#[test]
fn no_acknowledged_revocation_is_lost_when_the_leader_is_killed() {
    let mut cluster = Cluster::start();
    let writer = bucket(&cluster.urls(), "admin").writer().unwrap();
    let all: Vec<PublicKey> = (0..60).map(|_| key()).collect();
    for key in &all {
        writer.add_key(DOMAIN, key, &Metadata::default()).unwrap();
    }
    let server = Server::start(&cluster.urls());
    server.wait_for(&all[59], 200);
    let leader = cluster.leader();
    let mut slowest = Duration::ZERO;
    for (number, key) in all[..40].iter().enumerate() {
        if number == 10 {
            cluster.nodes[leader].kill();
        }
        let start = Instant::now();
        writer.remove_key(DOMAIN, key).unwrap();
        slowest = slowest.max(start.elapsed());
    }
    // Each acknowledged removal is refused; the other keys are accepted as before.
    let start = Instant::now();
    for key in &all[..40] {
        server.wait_for(key, 400);
    }
    println!("the slowest removal took {slowest:?}; all are refused {:?} after the last", start.elapsed());
    assert!(all[40..].iter().all(|key| server.curve(key) == 200));
    let left: HashSet<PublicKey> = all[40..].iter().copied().collect();
    assert_eq!(keys(&cluster), left);
    // The killed server comes back and leads, which answers these questions: it has everything that was acknowledged.
    cluster.nodes[leader].run();
    let name = cluster.nodes[leader].name();
    wait_until("it leads", || {
        raw::hand_over(&cluster.urls(), &name);
        raw::leader(&cluster.urls()).as_ref() == Some(&name)
    });
    for key in &all {
        let last = eventually("it answers", || writer.last_change_of_key(DOMAIN, key)).unwrap();
        assert_eq!(last.entry.is_some(), left.contains(key), "{last:?}");
    }
    server.wait_for(&all[0], 400);
}

#[test]
fn with_all_servers_down_decisions_go_on_until_max_age_and_come_back_with_the_first_quorum() {
    let mut cluster = Cluster::start();
    let (alice, bob) = (key(), key());
    let writer = bucket(&cluster.urls(), "admin").writer().unwrap();
    for key in [&alice, &bob] {
        writer.add_key(DOMAIN, key, &Metadata::default()).unwrap();
    }
    let server = Server::start(&cluster.urls());
    server.wait_for(&bob, 200);
    cluster.nodes.iter_mut().for_each(Node::kill);
    assert_eq!(server.curve(&alice), 200, "by what is known");
    server.follower.credentials().limit_age(Duration::from_secs(2), OnStale::Refuse).unwrap();
    server.wait_for(&alice, 300);
    // One of three isn't a quorum: it answers, but proves nothing.
    cluster.nodes[0].run();
    wait_until("it is connected, and says what is wrong", || server.problem().contains("cannot find the bucket"));
    assert_eq!(server.curve(&alice), 300);
    cluster.nodes[1].run();
    let start = Instant::now();
    server.wait_for(&alice, 200);
    println!("in contact {:?} after the second server was ready", start.elapsed());
    let writer = eventually("the bucket is found", || bucket(&cluster.urls(), "admin").writer());
    eventually("she is removed", || writer.remove_key(DOMAIN, &alice));
    server.wait_for(&alice, 400);
    server.wait_for(&bob, 200);
}

/// A list comes from one of three replicas. One was paused, and hasn't caught up when the list is asked for.
#[test]
fn a_list_has_what_was_acknowledged_before() {
    const KEYS: usize = 1_000;
    let cluster = Cluster::start();
    for round in 1..=6 {
        let leader = cluster.leader();
        let writer = eventually("the bucket is found", || bucket(&cluster.nodes[leader].url(), "admin").writer());
        let late = &cluster.nodes[(leader + 1 + round % 2) % 3];
        late.signal(Signal::SIGSTOP);
        let keys: Vec<PublicKey> = (0..KEYS).map(|_| key()).collect();
        raw::add_keys(&cluster.nodes[leader].url(), &keys);
        late.signal(Signal::SIGCONT);
        let entries = eventually("there is a list", || writer.entries(DOMAIN));
        assert_eq!(entries.len(), round * KEYS);
    }
}

#[test]
fn a_follower_leaves_a_server_that_stands_still() {
    let cluster = Cluster::start();
    let urls: Vec<String> = cluster.nodes.iter().map(Node::url).collect();
    let server = Server::start(&cluster.urls());
    // Each in turn: one is the follower's, and one is the leader.
    for still in 0..urls.len() {
        let alice = key();
        let all = bucket(&cluster.urls(), "admin");
        wait_until("the key is added", || {
            all.writer().is_ok_and(|writer| {
                let _ = writer.add_key(DOMAIN, &alice, &Metadata::default());
                writer.entries(DOMAIN).is_ok_and(|entries| entries.len() == 1)
            })
        });
        server.wait_for(&alice, 200);
        cluster.nodes[still].signal(Signal::SIGSTOP);
        let start = Instant::now();
        let others: Vec<&str> = urls.iter().filter(|url| **url != urls[still]).map(String::as_str).collect();
        let others = bucket(&others.join(","), "admin");
        wait_until("the removal is acknowledged", || {
            others.writer().is_ok_and(|writer| writer.remove_key(DOMAIN, &alice).is_ok())
        });
        server.wait_for(&alice, 400);
        println!("refused {:?} after the server stood still", start.elapsed());
        cluster.nodes[still].signal(Signal::SIGCONT);
    }
}
