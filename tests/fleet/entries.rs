//! Entries that can't be understood, that expire, and that two administrators change at once.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use zmq_auth::{BucketEntry, Error, EventKind, Metadata, OnStale, Password};

use crate::node::Node;
use crate::{DEADLINE, DOMAIN, Server, bucket, key, raw, wait_until};

#[test]
fn an_entry_that_is_not_understood_removes_what_its_name_stands_for_and_is_reported() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, bob) = (key(), key());
    for key in [&alice, &bob] {
        writer.add_key(DOMAIN, key, &Metadata::default()).unwrap();
    }
    let server = Server::start(&node.url());
    let events = server.auth.events(1_000);
    let name = raw::key_name(DOMAIN, alice.as_bytes());
    for (value, words) in [
        ("", "no JSON"),
        ("garbage", "no JSON"),
        (r#"{"format":2}"#, "a format that this version doesn't know"),
        (r#"{"format":1,"role":"admin"}"#, "isn't that of its format"),
        (r#"{"format":1,"metadata":[["not-after","tomorrow"]]}"#, "no RFC 3339 time"),
    ] {
        raw::put(&node.url(), &name, r#"{"format":1}"#);
        server.wait_for(&alice, 200);
        server.wait_for(&bob, 200);
        assert_eq!(server.follower.status().unreadable, []);
        while events.try_next().is_some() {}
        raw::put(&node.url(), &name, value);
        server.wait_for(&alice, 400);
        let unreadable = server.follower.status().unreadable;
        assert!(unreadable.len() == 1 && unreadable[0].0 == name && unreadable[0].1.contains(words), "{unreadable:?}");
        let event = loop {
            let event = events.next_timeout(DEADLINE).expect("an event");
            if event.kind == EventKind::ReloadFailed {
                break event;
            }
        };
        assert!(event.reason.contains(&name) && event.reason.contains(words), "{event}");
        let listed = writer.entries(DOMAIN).unwrap();
        assert!(
            listed.iter().any(|entry| matches!(entry, BucketEntry::Unreadable { name: told, .. } if *told == name))
        );
    }
    // An entry whose name stands for nothing does no harm.
    let nobody = format!("curve.{}.nobody", raw::name(DOMAIN.as_bytes()));
    raw::put(&node.url(), &nobody, r#"{"format":1}"#);
    wait_until("it is reported", || server.follower.status().unreadable.len() == 2);
    assert_eq!(server.curve(&bob), 200);
    // A server that starts now sees the same.
    let another = Server::named("server-2", &bucket(&node.url(), "admin"));
    another.wait_for(&bob, 200);
    assert_eq!((another.curve(&alice), another.follower.status().unreadable.len()), (400, 2));
}

#[test]
fn a_clear_password_is_refused_by_the_writer_and_by_every_server() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let refused = writer.add_user(DOMAIN, "alice", "correct horse").unwrap_err();
    assert!(matches!(refused, Error::PlainCredentials { what: "password", .. }), "{refused}");
    let server = Server::start(&node.url());
    let name = format!("plain.{}.{}", raw::name(DOMAIN.as_bytes()), raw::name(b"alice"));
    raw::put(&node.url(), &name, r#"{"format":1,"hash":"correct horse"}"#);
    wait_until("it is reported", || server.follower.status().unreadable.len() == 1);
    // Before its first proof of contact, it tells everybody to retry.
    wait_until("it decides", || server.plain("alice", "correct horse") != 300);
    let status = server.follower.status();
    assert!(!format!("{status:?}").contains("correct horse"), "{status:?}");
    assert_eq!((server.plain("alice", "correct horse"), status.credentials.users), (400, 0));
}

/// By `not-after`, which each server enforces. NATS's own lifetimes are refused, since nobody would notice the end.
#[test]
fn a_key_may_end_by_itself() {
    let node = Node::start();
    let server = Server::start(&node.url());
    let alice = key();
    let soon = Command::new("date").args(["-u", "-d", "+4 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let mut metadata = Metadata::default();
    metadata.insert("not-after", String::from_utf8(soon.stdout).unwrap().trim()).unwrap();
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &alice, &metadata).unwrap();
    server.wait_for(&alice, 200);
    server.wait_for(&alice, 400);
    raw::run(async {
        let store = raw::store(&node.url()).await;
        let name = raw::key_name(DOMAIN, key().as_bytes());
        assert!(store.create_with_ttl(name, r#"{"format":1}"#.into(), Duration::from_secs(2)).await.is_err());
    });
}

#[test]
fn of_two_who_change_one_entry_the_second_is_told() {
    let node = Node::start();
    let [one, two] = [0; 2].map(|_| bucket(&node.url(), "admin").writer().unwrap());
    let (alice, mut metadata) = (key(), Metadata::default());
    let first = one.add_key(DOMAIN, &alice, &metadata).unwrap();
    assert!(matches!(two.add_key(DOMAIN, &alice, &metadata), Err(Error::Conflict { .. })));
    metadata.insert("name", "Alice").unwrap();
    let second = one.replace_key(DOMAIN, &alice, &metadata, first).unwrap();
    assert!(matches!(two.replace_key(DOMAIN, &alice, &Metadata::default(), first), Err(Error::Conflict { .. })));
    let expected = [(alice, metadata.clone(), second)];
    let keys = |entries: Vec<BucketEntry>| -> Vec<_> {
        entries
            .into_iter()
            .map(|entry| match entry {
                BucketEntry::Key { key, metadata, revision, .. } => (key, metadata, revision),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(keys(two.entries(DOMAIN).unwrap()), expected);
    // A removal wins, and somebody who looked before it can't restore the key.
    assert!(two.remove_key(DOMAIN, &alice).unwrap());
    assert!(matches!(one.replace_key(DOMAIN, &alice, &metadata, second), Err(Error::Conflict { .. })));
    assert_eq!(two.entries(DOMAIN).unwrap(), []);
    one.add_key(DOMAIN, &alice, &metadata).unwrap();

    let hash = Password::from("correct horse").hash().unwrap();
    let first = one.add_user(DOMAIN, "alice", &hash).unwrap();
    assert!(matches!(two.add_user(DOMAIN, "alice", &hash), Err(Error::Conflict { .. })));
    one.replace_user(DOMAIN, "alice", &hash, first).unwrap();
    assert!(matches!(two.replace_user(DOMAIN, "alice", &hash, first), Err(Error::Conflict { .. })));
    assert_eq!(two.entries(DOMAIN).unwrap().len(), 2);
    let mut bad = Metadata::default();
    bad.insert("not-after", "tomorrow").unwrap();
    assert!(matches!(one.add_key(DOMAIN, &key(), &bad), Err(Error::Metadata { .. })));
}

#[test]
fn the_servers_that_follow_are_listed_with_how_far_they_are() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    assert_eq!(writer.servers(DOMAIN).unwrap(), []);
    let server = Server::start(&node.url());
    let revision = writer.add_key(DOMAIN, &key(), &Metadata::default()).unwrap();
    wait_until("its heartbeat says so", || {
        let servers = writer.servers(DOMAIN).unwrap();
        servers.len() == 1 && servers[0].keys == 1 && servers[0].sequence >= revision
    });
    let servers = writer.servers(DOMAIN).unwrap();
    assert_eq!((servers[0].name.as_str(), servers[0].users), ("server-1", 0));
    assert!(servers[0].age < DEADLINE, "{:?}", servers[0]);
    assert_eq!(writer.servers("elsewhere").unwrap(), []);
    drop(server);
}

/// Buckets made by NATS's own tools can be emptied.
#[test]
fn a_bucket_whose_entries_may_vanish_without_a_word_is_refused() {
    let node = Node::start();
    raw::run(async {
        let context = raw::context(&node.url(), "admin").await;
        context.delete_key_value(crate::BUCKET).await.unwrap();
        let config = async_nats::jetstream::kv::Config { bucket: crate::BUCKET.into(), ..Default::default() };
        context.create_key_value(config).await.unwrap();
    });
    let error = bucket(&node.url(), "admin").writer().unwrap_err();
    assert!(error.to_string().contains("it allows rollups"), "{error}");
    let server = Server::start(&node.url());
    wait_until("it says so", || server.problem().contains("it allows rollups"));
    assert_eq!(server.curve(&key()), 300);
}

/// Not even an administrator can purge markers, and a configuration under which entries can vanish is noticed.
#[test]
fn nothing_is_purged_by_hand_and_a_bucket_that_becomes_unsuitable_is_left() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, bob) = (key(), key());
    for key in [&alice, &bob] {
        writer.add_key(DOMAIN, key, &Metadata::default()).unwrap();
    }
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);
    server.follower.credentials().limit_age(Duration::from_secs(2), OnStale::Refuse).unwrap();
    writer.remove_key(DOMAIN, &bob).unwrap();
    server.wait_for(&bob, 400);
    let stream = format!("KV_{}", crate::BUCKET);
    let change = |max_age| {
        raw::run(async {
            let context = raw::context(&node.url(), "admin").await;
            let mut config = context.get_stream(&stream).await.unwrap().cached_info().config.clone();
            config.max_age = max_age;
            context.update_stream(config).await.unwrap();
        });
    };
    raw::run(async {
        let context = raw::context(&node.url(), "admin").await;
        let held = context.get_stream(&stream).await.unwrap();
        assert!(held.purge().await.is_err());
        assert!(raw::store(&node.url()).await.purge(raw::key_name(DOMAIN, bob.as_bytes())).await.is_err());
        for sequence in 1..=3 {
            assert!(held.delete_message(sequence).await.is_err());
        }
        for denied in [true, false] {
            let config = Config { deny_purge: denied, deny_delete: !denied, ..held.cached_info().config.clone() };
            assert!(context.update_stream(config).await.is_err());
        }
    });
    change(Duration::from_secs(3600));
    wait_until("it is noticed", || server.problem().contains("may expire"));
    server.wait_for(&alice, 300);
    change(Duration::ZERO);
    server.wait_for(&alice, 200);
    assert_eq!((server.curve(&bob), server.follower.status().snapshots), (400, 2), "it was read anew");
}
