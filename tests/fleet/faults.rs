//! Followers and writers whose bucket, NATS server or network changes, lies, or is slow.

use std::fs;
use std::process::Command;
use std::time::Duration;

use zmq_auth::{Error, KeyPair, Metadata, NatsBucket, OnStale, SocketExt};

use crate::node::{Access, Node};
use crate::proxy::Proxy;
use crate::{BUCKET, DEADLINE, DOMAIN, PASSWORD, Server, bucket, key, raw, wait_until};

const SHORT: Duration = Duration::from_secs(2);

/// Its sequence numbers are higher than the follower's; its name and time of creation are the same.
#[test]
fn a_bucket_that_was_put_back_and_has_overtaken_the_follower_is_read_anew() {
    let mut node = Node::start();
    let (alice, bob) = (key(), key());
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    node.kill();
    let copies = tempfile::tempdir().unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&node.store(), &copies.path().join("store"));
    node.run();
    let server = Server::start(&node.url());
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &bob, &Metadata::default()).unwrap();
    server.wait_for(&bob, 200);
    server.wait_for(&alice, 200);
    let known = server.follower.status().sequence.unwrap();
    node.kill();
    fs::remove_dir_all(node.store()).unwrap();
    copy(&copies.path().join("store"), &node.store());
    node.configure(Access::AdministratorAlone);
    node.run_as_configured();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    while writer.add_key("elsewhere", &key(), &Metadata::default()).unwrap() < known + 100 {}
    node.configure(Access::Everybody);
    node.reload();
    server.wait_for(&bob, 400);
    assert_eq!((server.curve(&alice), server.follower.status().snapshots), (200, 2));
}

/// A failed write is reported, and isn't made behind the caller's back when the server is back.
#[test]
fn a_write_that_failed_is_not_made_later() {
    let mut node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, bob) = (key(), key());
    node.kill();
    let error = writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap_err();
    assert!(matches!(error, Error::Nats { .. }), "{error}");
    node.run();
    // The same writer reconnects; anything that it had queued would be written first.
    wait_until("it writes again", || writer.add_key(DOMAIN, &bob, &Metadata::default()).is_ok());
    let server = Server::start(&node.url());
    server.wait_for(&bob, 200);
    assert_eq!(server.curve(&alice), 400);
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
}

#[test]
fn a_login_that_was_changed_is_read_again() {
    let mut node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let alice = key();
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let login = directory.path().join("login");
    fs::write(&login, format!("server-1={PASSWORD}\n")).unwrap();
    let server = Server::named("server-1", &NatsBucket::new(&node.url(), BUCKET).unwrap().login_file(&login).unwrap());
    server.wait_for(&alice, 200);
    node.password = "another of the fleet".into();
    node.configure(Access::Everybody);
    node.reload();
    wait_until("it is told", || server.problem().contains("authorization violation"));
    fs::write(&login, "server-1=another of the fleet\n").unwrap();
    writer.remove_key(DOMAIN, &alice).unwrap();
    server.wait_for(&alice, 400);
    wait_until("it is in contact", || server.follower.status().problem.is_none());
    assert_eq!(server.follower.status().snapshots, 1);
}

#[test]
fn connected_clients_are_spared_in_an_outage_where_the_program_says_so() {
    let mut node = Node::start();
    let (server_keys, alice) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    writer.add_key(DOMAIN, &alice.public, &Metadata::default()).unwrap();
    let server = Server::start(&node.url());
    server.wait_for(&alice.public, 200);
    let (auth, context) = (&server.auth, zmq::Context::new());
    auth.mark_clients().unwrap();
    let _running = auth.start(&context).unwrap();
    let mut socket = context.socket(zmq::PULL).unwrap();
    socket.curve_server(&server_keys, DOMAIN).unwrap();
    socket.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let mut client = context.socket(zmq::PUSH).unwrap();
    client.curve_client(&alice, &server_keys.public).unwrap();
    client.set_linger(0).unwrap();
    client.connect(&socket.endpoint().unwrap()).unwrap();
    let is_allowed = || {
        client.send("hello", 0).unwrap();
        auth.is_still_allowed(&mut socket.recv_msg(0).unwrap())
    };
    assert!(is_allowed());
    let credentials = server.follower.credentials();
    credentials.limit_age(SHORT, OnStale::KeepConnected).unwrap();
    node.kill();
    server.wait_for(&alice.public, 300);
    assert!(is_allowed(), "by what is known");
    credentials.limit_age(SHORT, OnStale::Refuse).unwrap();
    assert!(!is_allowed());
    credentials.limit_age(SHORT, OnStale::KeepConnected).unwrap();
    node.configure(Access::AdministratorAlone);
    node.run_as_configured();
    bucket(&node.url(), "admin").writer().unwrap().remove_key(DOMAIN, &alice.public).unwrap();
    node.configure(Access::Everybody);
    node.reload();
    server.wait_for(&alice.public, 400);
    assert!(!is_allowed(), "removed is removed");
}

/// Entries arrive more slowly than they are written: the follower falls behind, is out of contact meanwhile, and gets
/// them all.
#[test]
fn a_slow_follower_is_late_and_loses_nothing() {
    const KEYS: usize = 4_000;
    let node = Node::start();
    let proxy = Proxy::to(node.port());
    let (alice, writer) = (key(), bucket(&node.url(), "admin").writer().unwrap());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&proxy.url());
    server.wait_for(&alice, 200);
    server.follower.credentials().limit_age(SHORT, OnStale::Refuse).unwrap();
    proxy.set_rate(Some(20_000));
    let keys: Vec<_> = (0..KEYS).map(|_| key()).collect();
    raw::add_keys(&node.url(), &keys);
    writer.remove_key(DOMAIN, &alice).unwrap();
    wait_until("it is too late to be sure of anything", || server.is_stale());
    assert!(server.follower.status().credentials.keys < KEYS);
    proxy.set_rate(None);
    server.wait_for(&keys[KEYS - 1], 200);
    server.follower.credentials().limit_age(Duration::from_secs(300), OnStale::Refuse).unwrap();
    server.wait_for(&alice, 400);
    assert!(keys.iter().all(|key| server.curve(key) == 200));
    println!("{} snapshots", server.follower.status().snapshots);
}

/// Nothing arrives, and nothing reports that the connection is gone.
#[test]
fn a_network_that_carries_nothing_is_no_contact() {
    let node = Node::start();
    let proxy = Proxy::to(node.port());
    let (alice, writer) = (key(), bucket(&node.url(), "admin").writer().unwrap());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&proxy.url());
    server.wait_for(&alice, 200);
    server.follower.credentials().limit_age(SHORT, OnStale::Refuse).unwrap();
    proxy.set_rate(Some(0));
    server.wait_for(&alice, 300);
    writer.remove_key(DOMAIN, &alice).unwrap();
    proxy.set_rate(None);
    server.wait_for(&alice, 400);
}

/// A NATS server needs seconds to create a consumer of a bucket with a million entries: the follower waits longer each
/// time, for its first snapshot and when it resumes.
#[test]
fn a_server_that_creates_consumers_slowly_is_followed_all_the_same() {
    let node = Node::start();
    let proxy = Proxy::to(node.port());
    let (alice, writer) = (key(), bucket(&node.url(), "admin").writer().unwrap());
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    proxy.delay_creation(Duration::from_secs(5));
    let server = Server::start(&proxy.url());
    server.wait_for(&alice, 200);
    server.follower.credentials().limit_age(SHORT, OnStale::Refuse).unwrap();
    proxy.set_rate(Some(0));
    server.wait_for(&alice, 300);
    writer.remove_key(DOMAIN, &alice).unwrap();
    proxy.set_rate(None);
    server.wait_for(&alice, 400);
}
