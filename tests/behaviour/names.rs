//! User ids and metadata, as the server's program reads them on every message.

use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, Handshake, Metadata, SocketExt, Verdict};

use crate::harness::fixture::{Fixture, MECHANISMS};
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{keys, password, stranger};
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::zap;

behaviours! {
    a_map_names_curve_clients_of_every_source,
    a_map_that_panics_refuses_its_client_with_500,
    properties_are_on_every_frame,
}

fn a_map_names_curve_clients_of_every_source(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    let directory = tempfile::tempdir().unwrap();
    let file = format!("metadata\n    role = reader\ncurve\n    public-key = \"{}\"\n", client_keys.public);
    std::fs::write(directory.path().join("alice.key"), file).unwrap();
    auth.configure_curve("directory", directory.path()).unwrap();
    auth.configure_curve_keys("set", [client_keys.public]).unwrap();
    auth.configure_curve("any", CURVE_ALLOW_ANY).unwrap();
    auth.configure_curve_callback("callback", |_, _| true).unwrap();
    auth.configure_curve_callback("named", |_, _| Verdict::AllowAs {
        user_id: "carol".into(),
        metadata: Metadata::default(),
    })
    .unwrap();
    let alice = client_keys.public;
    auth.curve_user_id(move |key| if *key == alice { "alice".into() } else { "nobody".into() });
    let _running = front_end.start(&auth, &context);
    for (domain, name) in
        [("directory", "alice"), ("set", "alice"), ("any", "alice"), ("callback", "alice"), ("named", "carol")]
    {
        let server = Server::new(&context, |socket| socket.curve_server(&server_keys, domain));
        let received =
            Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
        assert_eq!(received.sender().user_id(), Some(name), "{domain}");
        assert_eq!(received.sender().property("role").is_some(), domain == "directory", "metadata stays");
    }
    // The map names clients; it doesn't accept them.
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "set"));
    Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).expect_denied();
}

fn a_map_that_panics_refuses_its_client_with_500(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    auth.configure_curve("lab", CURVE_ALLOW_ANY).unwrap();
    let alice = client_keys.public;
    auth.curve_user_id(move |key| {
        assert_eq!(*key, alice, "a panic that a test makes");
        "alice".into()
    });
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).expect(Handshake::Denied(500));
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
}

fn properties_are_on_every_frame(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("shop", |_, _, _| {
        let mut metadata = Metadata::default();
        metadata.insert("role", "reader").unwrap();
        metadata.insert("empty", "").unwrap();
        metadata.insert("long", "x".repeat(10_000)).unwrap();
        Verdict::AllowAs { user_id: "alice".into(), metadata }
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    for (kind, other) in [(zmq::REP, zmq::REQ), (zmq::ROUTER, zmq::DEALER), (zmq::PULL, zmq::PUSH)] {
        let server = Server::bind(&context, kind, Transport::Tcp, |socket| socket.plain_server("shop"));
        let mut client = Client::connect(&context, other, server.endpoint(), |socket| {
            socket.plain_client("whoever", &password("a"))
        });
        client.expect(Handshake::Authenticated);
        client.send_multipart(["one", "two", "three"], 0).unwrap();
        let mut frames = server.receive().into_frames();
        if kind == zmq::ROUTER {
            frames.remove(0);
        }
        assert_eq!(frames.len(), 3, "{kind:?}");
        for frame in &mut frames {
            let sender = zmq_auth::Sender::of(frame);
            assert_eq!(sender.user_id(), Some("alice"), "{kind:?}");
            assert_eq!(sender.property("role"), Some("reader"));
            assert_eq!(sender.property("empty"), Some(""));
            assert_eq!(sender.property("long").map(str::len), Some(10_000));
            assert_eq!(sender.property("other"), None);
            assert_eq!(sender.address(), Some("127.0.0.1"));
        }
    }
}

#[test]
fn properties_are_on_every_frame_whatever_the_mechanism() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = zap::Handler::bind(&context);
        let server = Server::bind(&context, zmq::PULL, Transport::Tcp, |socket| fixture.set_up_server(socket));
        let mut client =
            Client::connect(&context, zmq::PUSH, server.endpoint(), |socket| fixture.set_up_client(socket));
        let question = handler.receive();
        let metadata = b"\x04role\0\0\0\x06reader\x05empty\0\0\0\0";
        handler.send(&question, &[b"", b"1.0", question.request_id(), b"200", b"OK", b"carol", metadata]);
        client.expect(Handshake::Authenticated);
        for _ in 0..2 {
            client.send_multipart(["one", "two", "three"], 0).unwrap();
            let mut frames = server.receive().into_frames();
            assert_eq!(frames.len(), 3, "{mechanism:?}");
            for frame in &mut frames {
                let sender = zmq_auth::Sender::of(frame);
                assert_eq!(sender.user_id(), Some("carol"), "{mechanism:?}");
                assert_eq!(sender.property("role"), Some("reader"), "{mechanism:?}");
                assert_eq!(sender.property("empty"), Some(""), "{mechanism:?}");
                assert_eq!(sender.address(), Some("127.0.0.1"), "{mechanism:?}");
            }
        }
    }
}

#[test]
fn a_user_id_that_libzmq_would_cut_is_a_fault() {
    let (auth, key) = (Authenticator::new(), stranger());
    auth.configure_curve("lab", CURVE_ALLOW_ANY).unwrap();
    auth.curve_user_id(|_| "admin\0guest".into());
    assert_eq!(zap::curve(&auth, "lab", &key), 500);
    auth.configure_curve_callback("lab", |_, _| Verdict::AllowAs {
        user_id: "admin\0guest".into(),
        metadata: Metadata::default(),
    })
    .unwrap();
    assert_eq!(zap::curve(&auth, "lab", &key), 500);
}

#[test]
fn names_that_libzmq_reserves_are_not_metadata() {
    let mut metadata = Metadata::default();
    for name in ["Identity", "identity", "Routing-Id", "Socket-Type", "User-Id", "USER-ID", "Peer-Address", "__fd", ""]
    {
        assert!(metadata.insert(name, "x").is_err(), "{name}");
    }
    assert!(metadata.insert("n".repeat(256), "x").is_err());
    assert!(metadata.insert("n".repeat(255), "x").is_ok());
    assert!(metadata.insert("long", "x".repeat(70_000)).is_err());
    assert_eq!(metadata.len(), 1);
}

#[test]
fn metadata_of_a_verdict_is_encoded_as_rfc_27_says() {
    let auth = Authenticator::new();
    auth.configure_plain_callback("d", |_, _, _| {
        let mut metadata = Metadata::default();
        metadata.insert("a", "bc").unwrap();
        metadata.insert("empty", "").unwrap();
        Verdict::AllowAs { user_id: "u".into(), metadata }
    })
    .unwrap();
    let secret = password("a");
    let request = zap::request("d", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]);
    let reply = auth.handle_zap_message(&request).unwrap();
    assert_eq!(reply[4], b"u");
    assert_eq!(reply[5], b"\x01a\0\0\0\x02bc\x05empty\0\0\0\0");
}
