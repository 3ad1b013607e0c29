//! CURVE: the keys of every kind of source, and the metadata of their certificates.

use std::fs;

use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, Certificate, Error, Handshake, KeyPair, SecretKey, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{keys, secret_key, stranger};
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::zap;

behaviours! {
    a_domain_that_is_not_configured_accepts_nobody,
    allow_any_accepts_any_key,
    the_keys_of_a_directory_are_accepted_and_no_others,
    the_keys_of_a_set_are_accepted_and_no_others,
    a_wrong_server_key_fails_and_the_handler_is_not_asked,
    a_missing_server_key_fails,
    the_user_id_is_the_key_in_z85,
    a_key_is_added_and_removed,
    metadata_of_a_certificate_is_on_the_messages_and_identity_is_never_sent,
    a_directory_is_read_again_when_it_is_configured_again,
}

fn a_domain_that_is_not_configured_accepts_nobody(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_curve_keys("another", [client_keys.public]).unwrap();
    auth.configure_plain("lab", [("alice", crate::harness::log::password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let mut server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).expect_denied();
    server.expect(Handshake::Denied(400));
}

fn allow_any_accepts_any_key(front_end: FrontEnd) {
    let (context, auth, server_keys) = (zmq::Context::new(), Authenticator::new(), keys());
    auth.configure_curve("lab", CURVE_ALLOW_ANY).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    for _ in 0..2 {
        Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).round_trip(&server);
    }
    // For one domain only.
    let other = Server::new(&context, |socket| socket.curve_server(&server_keys, "vault"));
    Client::curve(&context, other.endpoint(), &keys(), &server_keys.public).expect_denied();
}

fn the_keys_of_a_directory_are_accepted_and_no_others(front_end: FrontEnd) {
    let (context, auth, server_keys) = (zmq::Context::new(), Authenticator::new(), keys());
    let directory = tempfile::tempdir().unwrap();
    let clients = [certificate(&directory, "alice"), certificate(&directory, "bob")];
    auth.configure_curve("lab", directory.path()).unwrap();
    let _running = front_end.start(&auth, &context);
    for transport in [Transport::Tcp, Transport::Ipc] {
        let server = Server::bind(&context, zmq::REP, transport, |socket| socket.curve_server(&server_keys, "lab"));
        for client in &clients {
            Client::curve(&context, server.endpoint(), client, &server_keys.public).round_trip(&server);
        }
        Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).expect_denied();
        server.assert_nothing_received();
    }
}

fn the_keys_of_a_set_are_accepted_and_no_others(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_curve_keys("lab", [client_keys.public, stranger()]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
    Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).expect_denied();
    server.assert_nothing_received();
}

fn a_wrong_server_key_fails_and_the_handler_is_not_asked(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_curve("lab", CURVE_ALLOW_ANY).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    Client::curve(&context, server.endpoint(), &client_keys, &keys().public).expect_mismatch();
    assert_eq!(auth.counters(), Default::default());
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
}

fn a_missing_server_key_fails(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_curve("lab", CURVE_ALLOW_ANY).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    let connect = |server_key: Option<&[u8; 32]>| {
        Client::new(&context, server.endpoint(), |socket| {
            socket.set_curve_publickey(client_keys.public.as_bytes())?;
            socket.set_curve_secretkey(client_keys.secret.as_bytes())?;
            server_key.map_or(Ok(()), |key| socket.set_curve_serverkey(key))
        })
    };
    // Its own keys make it a CURVE client; as the server's key it has zeros.
    connect(None).expect_mismatch();
    // A key of zeros belongs to nobody.
    Client::curve(&context, server.endpoint(), &client_keys, &[0; 32].into()).expect_mismatch();
    assert_eq!(auth.counters(), Default::default());
    server.assert_nothing_received();
    // Nothing else would have refused it.
    connect(Some(server_keys.public.as_bytes())).round_trip(&server);
}

fn the_user_id_is_the_key_in_z85(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_curve_keys("set", [client_keys.public]).unwrap();
    auth.configure_curve("any", CURVE_ALLOW_ANY).unwrap();
    auth.configure_curve_callback("callback", |_, _| true).unwrap();
    let _running = front_end.start(&auth, &context);
    for domain in ["set", "any", "callback"] {
        let server = Server::new(&context, |socket| socket.curve_server(&server_keys, domain));
        let received =
            Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
        assert_eq!(received.sender().user_id(), Some(client_keys.public.to_string().as_str()), "{domain}");
    }
}

fn a_key_is_added_and_removed(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    let connect = || Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public);
    auth.add_curve_key("lab", client_keys.public).unwrap();
    let mut connected = connect();
    connected.round_trip(&server);
    assert!(auth.remove_curve_key("lab", &client_keys.public).unwrap());
    assert!(!auth.remove_curve_key("lab", &client_keys.public).unwrap());
    connect().expect_denied();
    // Connected clients stay connected.
    connected.exchange(&server);
}

fn metadata_of_a_certificate_is_on_the_messages_and_identity_is_never_sent(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    let directory = tempfile::tempdir().unwrap();
    // Written by hand: another program's file may have any name in it.
    let file = format!(
        "metadata\n    name = \"Alice Doe\"\n    Identity = \"boss\"\n    identity = \"boss\"\n    User-Id = \"root\"\n    \
         Socket-Type = \"PUB\"\n    Peer-Address = \"1.2.3.4\"\n    role = \"reader\"\ncurve\n    public-key = \"{}\"\n",
        client_keys.public
    );
    fs::write(directory.path().join("alice.key"), file).unwrap();
    auth.configure_curve("lab", directory.path()).unwrap();

    let reply =
        auth.handle_zap_message(&zap::request("lab", "127.0.0.1", "CURVE", &[client_keys.public.as_bytes()])).unwrap();
    assert_eq!(reply[5], b"\x04name\0\0\0\x09Alice Doe\x04role\0\0\0\x06reader");

    let _running = front_end.start(&auth, &context);
    let server = Server::bind(&context, zmq::ROUTER, Transport::Tcp, |socket| socket.curve_server(&server_keys, "lab"));
    let mut client = Client::connect(&context, zmq::DEALER, server.endpoint(), |socket| {
        socket.curve_client(&client_keys, &server_keys.public)
    });
    client.expect(Handshake::Authenticated);
    client.send("hello", 0).unwrap();
    let received = server.receive();
    assert_ne!(&received.frames()[0][..], b"boss", "the routing id of the peer was set");
    let sender = received.sender();
    assert_eq!(sender.property("name"), Some("Alice Doe"));
    assert_eq!(sender.property("role"), Some("reader"));
    assert_eq!(sender.property("Socket-Type"), Some("DEALER"));
    assert_eq!(sender.address(), Some("127.0.0.1"));
    assert_eq!(sender.user_id(), Some(client_keys.public.to_string().as_str()));
}

fn a_directory_is_read_again_when_it_is_configured_again(front_end: FrontEnd) {
    let (context, auth, server_keys) = (zmq::Context::new(), Authenticator::new(), keys());
    let directory = tempfile::tempdir().unwrap();
    let alice = certificate(&directory, "alice");
    auth.configure_curve("lab", directory.path()).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    let connect = |keys: &KeyPair| Client::curve(&context, server.endpoint(), keys, &server_keys.public);

    let bob = certificate(&directory, "bob");
    connect(&bob).expect_denied();
    auth.configure_curve("lab", directory.path()).unwrap();
    connect(&bob).round_trip(&server);
    fs::remove_file(directory.path().join("alice.key")).unwrap();
    connect(&alice).round_trip(&server);
    auth.configure_curve("lab", directory.path()).unwrap();
    connect(&alice).expect_denied();
}

#[test]
fn a_directory_with_a_bad_file_changes_nothing_and_names_it() {
    let auth = Authenticator::new();
    let directory = tempfile::tempdir().unwrap();
    let alice = certificate(&directory, "alice");
    auth.configure_curve("lab", directory.path()).unwrap();
    let bob = certificate(&directory, "bob");
    fs::write(directory.path().join("carol.key"), "curve\n    public-key = \"short\"\n").unwrap();
    let error = auth.configure_curve("lab", directory.path()).unwrap_err();
    assert!(error.to_string().contains("carol.key:2"), "{error}");
    let error = auth.configure_curve("lab", directory.path().join("missing")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(zap::curve(&auth, "lab", &alice.public), 200);
    assert_eq!(zap::curve(&auth, "lab", &bob.public), 400);
}

#[test]
fn two_files_with_one_key_are_one_key() {
    let auth = Authenticator::new();
    let directory = tempfile::tempdir().unwrap();
    let alice = certificate(&directory, "alice");
    fs::copy(directory.path().join("alice.key"), directory.path().join("again.key")).unwrap();
    auth.configure_curve("lab", directory.path()).unwrap();
    assert_eq!(zap::curve(&auth, "lab", &alice.public), 200);
    assert!(auth.remove_curve_key("lab", &alice.public).unwrap());
    assert_eq!(zap::curve(&auth, "lab", &alice.public), 400);
}

#[test]
fn a_key_of_a_directory_is_removed_and_another_added() {
    let auth = Authenticator::new();
    let directory = tempfile::tempdir().unwrap();
    let (alice, bob) = (certificate(&directory, "alice"), keys());
    auth.configure_curve("lab", directory.path()).unwrap();
    assert!(auth.remove_curve_key("lab", &alice.public).unwrap());
    auth.add_curve_key("lab", bob.public).unwrap();
    assert_eq!((zap::curve(&auth, "lab", &alice.public), zap::curve(&auth, "lab", &bob.public)), (400, 200));
    auth.configure_curve("lab", directory.path()).unwrap();
    assert_eq!((zap::curve(&auth, "lab", &alice.public), zap::curve(&auth, "lab", &bob.public)), (200, 400));
}

#[test]
fn a_key_cannot_be_added_to_or_removed_from_a_source_without_a_list() {
    let (auth, key) = (Authenticator::new(), stranger());
    auth.configure_curve("any", CURVE_ALLOW_ANY).unwrap();
    auth.configure_curve_callback("callback", |_, _| false).unwrap();
    for (domain, expected) in [("any", 200), ("callback", 400)] {
        assert!(matches!(auth.add_curve_key(domain, key), Err(Error::NoKeySet { .. })));
        assert!(matches!(auth.remove_curve_key(domain, &key), Err(Error::NoKeySet { .. })));
        assert_eq!(zap::curve(&auth, domain, &key), expected);
    }
}

#[test]
fn a_later_source_of_one_domain_leaves_the_others_alone() {
    let auth = Authenticator::new();
    let directory = tempfile::tempdir().unwrap();
    let (alice, other) = (certificate(&directory, "alice"), stranger());
    auth.configure_curve("open", CURVE_ALLOW_ANY).unwrap();
    auth.configure_curve("lab", directory.path()).unwrap();
    // Neither affects the other domains.
    assert_eq!((zap::curve(&auth, "open", &other), zap::curve(&auth, "lab", &other)), (200, 400));
    // Nor does a callback disable the directories.
    auth.configure_curve_callback("asked", |_, _| false).unwrap();
    assert_eq!((zap::curve(&auth, "lab", &alice.public), zap::curve(&auth, "asked", &alice.public)), (200, 400));
    assert_eq!(zap::curve(&auth, "open", &other), 200);
    auth.configure_curve_keys("lab", [other]).unwrap();
    assert_eq!((zap::curve(&auth, "lab", &alice.public), zap::curve(&auth, "lab", &other)), (400, 200));
}

#[test]
fn the_public_key_is_computed_from_the_secret_one() {
    let keys = keys();
    assert_eq!(zmq_auth::curve_public(&keys.secret).unwrap(), keys.public);
    assert_eq!((keys.public.as_bytes().len(), keys.secret.as_bytes().len()), (32, 32));
    assert_eq!((keys.public.to_string().len(), keys.secret.to_z85().len()), (40, 40));
    let secret: SecretKey = keys.secret.to_z85().parse().unwrap();
    assert_eq!(KeyPair::from_secret(secret).unwrap(), keys);
}

/// Writes a client's certificate to the directory; returns its keys.
fn certificate(directory: &tempfile::TempDir, name: &str) -> KeyPair {
    let certificate = Certificate::generate().unwrap();
    certificate.save_public(directory.path().join(format!("{name}.key"))).unwrap();
    let pair = certificate.key_pair().unwrap().clone();
    secret_key(&pair.secret);
    pair
}
