//! Following one NATS server: changes apply, and without contact nobody is accepted.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use zmq_auth::{Handshake, KeyPair, Metadata, MonitoredSocket, OnStale, Password, SocketExt};

use crate::node::{Access, Node};
use crate::{BUCKET, DEADLINE, DOMAIN, Server, bucket, key, raw, wait_until};

const SHORT: Duration = Duration::from_secs(2);

#[test]
fn what_is_written_is_in_force_at_two_servers_and_their_clients_see_it() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let servers = [Server::start(&node.url()), Server::named("server-2", &bucket(&node.url(), "admin"))];
    let (server_keys, alice) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let context = [zmq::Context::new(), zmq::Context::new()];
    let ends = [0, 1].map(|number| {
        let running = servers[number].auth.start(&context[number]).unwrap();
        let mut socket = context[number].socket(zmq::PULL).unwrap();
        socket.curve_server(&server_keys, DOMAIN).unwrap();
        socket.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
        let endpoint = ["tcp://127.0.0.1:*", "ipc://*"][number];
        socket.bind(endpoint).unwrap();
        (socket, running)
    });
    let visit = |number: usize| {
        let mut client = context[number].socket(zmq::PUSH).unwrap();
        client.curve_client(&alice, &server_keys.public).unwrap();
        client.set_linger(0).unwrap();
        let mut client = MonitoredSocket::new(&context[number], client).unwrap();
        client.connect(&ends[number].0.endpoint().unwrap()).unwrap();
        let seen = client.wait_for_handshake(DEADLINE).unwrap();
        if seen == Some(Handshake::Authenticated) {
            client.send("hello", 0).unwrap();
            let received = ends[number].0.recv_with_sender(0).unwrap();
            assert_eq!(received.sender().property("name"), Some("Alice"));
        }
        seen
    };
    let mut metadata = Metadata::default();
    metadata.insert("name", "Alice").unwrap();
    writer.add_key(DOMAIN, &alice.public, &metadata).unwrap();
    for (number, server) in servers.iter().enumerate() {
        server.wait_for(&alice.public, 200);
        assert_eq!(visit(number), Some(Handshake::Authenticated));
    }
    assert!(writer.remove_key(DOMAIN, &alice.public).unwrap());
    let start = Instant::now();
    for (number, server) in servers.iter().enumerate() {
        server.wait_for(&alice.public, 400);
        println!("refused {:?} after the removal was acknowledged", start.elapsed());
        assert_eq!(visit(number), Some(Handshake::Denied(400)));
    }
    assert!(!writer.remove_key(DOMAIN, &alice.public).unwrap());
}

#[test]
fn users_follow_too_and_other_domains_are_none_of_a_servers_business() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let server = Server::start(&node.url());
    let (alice, bob) = (key(), key());
    let hash = Password::from("correct horse").hash().unwrap();
    writer.add_user(DOMAIN, "alice", &hash).unwrap();
    writer.add_key("elsewhere", &bob, &Metadata::default()).unwrap();
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    server.wait_for(&alice, 200);
    assert_eq!((server.plain("alice", "correct horse"), server.plain("alice", "wrong")), (200, 400));
    assert_eq!((server.curve(&bob), server.follower.status().credentials.keys), (400, 1));
    writer.remove_user(DOMAIN, "alice").unwrap();
    wait_until("Alice's password is gone", || server.plain("alice", "correct horse") == 400);
    assert!(zmq_auth::NatsBucket::new(&node.url(), BUCKET).unwrap().follow("", "server-1").is_err());
}

#[test]
fn a_server_that_starts_while_nats_is_down_is_closed_and_says_so() {
    let mut node = Node::start();
    let alice = key();
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    node.kill();
    let server = Server::start(&node.url());
    wait_until("it says what is wrong", || server.problem().starts_with("NATS: cannot connect: "));
    assert_eq!(server.curve(&alice), 300);
    assert_eq!(server.follower.status().sequence, None);
    node.run();
    server.wait_for(&alice, 200);
    wait_until("no problem is left", || server.problem().is_empty());
}

#[test]
fn without_a_bucket_or_the_right_login_a_server_is_closed_and_says_so() {
    let node = Node::start();
    let wrong = zmq_auth::NatsBucket::new(&node.url(), BUCKET).unwrap();
    for (bucket, words) in [
        (wrong.clone().login("server-1", &Password::from("wrong")), "authorization violation"),
        (wrong, "authorization violation"),
        (
            zmq_auth::NatsBucket::new(&node.url(), "another").unwrap().login("admin", &Password::from(crate::PASSWORD)),
            "stream not found",
        ),
    ] {
        let server = Server::named("server-1", &bucket);
        wait_until(words, || server.problem().contains(words));
        assert_eq!(server.curve(&key()), 300);
    }
}

/// Decisions go on for `max_age`, then clients are told to retry. A key that was revoked during the outage isn't
/// accepted for a moment when contact is back.
#[test]
fn while_nats_is_away_decisions_go_on_until_max_age_and_then_nobody_is_accepted_until_all_is_known() {
    let mut node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, bob) = (key(), key());
    for key in [&alice, &bob] {
        writer.add_key(DOMAIN, key, &Metadata::default()).unwrap();
    }
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);
    server.wait_for(&bob, 200);
    node.kill();
    assert_eq!(server.curve(&alice), 200, "by what is known");
    server.follower.credentials().limit_age(SHORT, OnStale::Refuse).unwrap();
    server.wait_for(&alice, 300);
    let age = server.follower.status().credentials.age.unwrap();
    assert!(age > SHORT, "{age:?}");
    wait_until("it says what is wrong", || !server.problem().is_empty());

    node.configure(Access::AdministratorAlone);
    node.run_as_configured();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    writer.remove_key(DOMAIN, &alice).unwrap();
    assert_eq!(server.curve(&bob), 300, "it can't log in yet");
    node.configure(Access::Everybody);
    node.reload();
    let start = Instant::now();
    while server.curve(&bob) != 200 {
        assert_ne!(server.curve(&alice), 200);
        assert!(start.elapsed() < DEADLINE, "{:?}", server.follower.status());
    }
    server.wait_for(&alice, 400);
    let snapshots = server.follower.status().snapshots;
    println!("in contact {:?} after the login was possible; {snapshots} snapshots", start.elapsed());
    assert_eq!(snapshots, 1, "it resumed");
    wait_until("no problem is left", || server.problem().is_empty());
}

#[test]
fn a_bucket_that_is_made_anew_is_read_anew() {
    let mut node = Node::start();
    let (alice, bob) = (key(), key());
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);
    let known = server.follower.status().sequence.unwrap();
    // While the server can't look, the new bucket gets more entries than it knows: by the number alone, it could
    // resume.
    node.kill();
    node.configure(Access::AdministratorAlone);
    node.run_as_configured();
    raw::run(async {
        let context = raw::context(&node.url(), "admin").await;
        context.delete_key_value(BUCKET).await.unwrap();
    });
    bucket(&node.url(), "admin").create(1).unwrap();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    while writer.add_key("elsewhere", &key(), &Metadata::default()).unwrap() < known + 200 {}
    writer.add_key(DOMAIN, &bob, &Metadata::default()).unwrap();
    node.configure(Access::Everybody);
    node.reload();
    server.wait_for(&bob, 200);
    assert_eq!(server.curve(&alice), 400, "the new bucket doesn't have her");
    assert_eq!(server.follower.status().snapshots, 2);
}

#[test]
fn a_bucket_that_is_put_back_is_read_anew() {
    let mut node = Node::start();
    let (alice, bob) = (key(), key());
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    node.kill();
    let copy = tempfile::tempdir().unwrap();
    let copied = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copied(&node.store(), &copy.path().join("store"));
    node.run();
    let server = Server::start(&node.url());
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &bob, &Metadata::default()).unwrap();
    server.wait_for(&bob, 200);
    server.wait_for(&alice, 200);
    node.kill();
    fs::remove_dir_all(node.store()).unwrap();
    copied(&copy.path().join("store"), &node.store());
    node.run();
    // Bob isn't in the copy.
    server.wait_for(&bob, 400);
    assert_eq!((server.curve(&alice), server.follower.status().snapshots), (200, 2));
}

#[test]
fn a_server_that_stands_still_is_no_contact_and_its_return_is() {
    let node = Node::start();
    let alice = key();
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);
    server.follower.credentials().limit_age(SHORT, OnStale::Refuse).unwrap();
    node.signal(Signal::SIGSTOP);
    // Its connection is open, but silent.
    server.wait_for(&alice, 300);
    assert!(server.is_stale());
    node.signal(Signal::SIGCONT);
    server.wait_for(&alice, 200);
}

/// Twice as many changes as are requested at once, while the server is busy.
#[test]
fn many_changes_at_once_are_all_in_force() {
    let node = Node::start();
    let server = Server::start(&node.url());
    let keys: Vec<_> = (0..2_000).map(|_| key()).collect();
    raw::add_keys(&node.url(), &keys);
    wait_until("all keys are in force", || server.follower.status().credentials.keys == keys.len());
    assert!(keys.iter().all(|key| server.curve(key) == 200));
    assert_eq!(server.follower.status().snapshots, 1);
    // A server that starts now gets them as a snapshot.
    let another = Server::named("server-2", &bucket(&node.url(), "admin"));
    another.wait_for(&keys[0], 200);
    assert_eq!(another.follower.status().credentials.keys, keys.len());
}

#[test]
fn a_follower_that_is_dropped_leaves_its_credentials_to_go_stale() {
    let node = Node::start();
    let alice = key();
    bucket(&node.url(), "admin").writer().unwrap().add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let server = Server::start(&node.url());
    server.wait_for(&alice, 200);
    let credentials = server.follower.credentials().clone();
    credentials.limit_age(SHORT, OnStale::Refuse).unwrap();
    let Server { follower, auth } = server;
    drop(follower);
    wait_until("nobody follows any more", || credentials.status().is_stale);
    let request: [&[u8]; 7] = [b"1.0", b"1", DOMAIN.as_bytes(), b"::1", b"", b"CURVE", alice.as_bytes()];
    assert_eq!(auth.handle_zap_message(&request).unwrap()[2], b"300");
}

#[test]
fn two_servers_of_one_name_are_told_and_neither_is_more_than_late() {
    let node = Node::start();
    let alice = key();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    writer.add_key(DOMAIN, &alice, &Metadata::default()).unwrap();
    let busy = bucket(&node.url(), "admin").heartbeat(Duration::from_millis(100)).unwrap();
    let servers = [0; 4].map(|_| Server::named("server-1", &busy));
    let told = |server: &Server| server.problem().contains("another server has it");
    wait_until("one of them is told", || servers.iter().any(told));
    // Even so, a server that proves contact has the content of the bucket.
    writer.remove_key(DOMAIN, &alice).unwrap();
    for server in &servers {
        wait_until("nobody accepts her", || server.curve(&alice) != 200);
    }
}
