//! PLAIN: user names and passwords, compared as bytes.

use zmq_auth::{Authenticator, Error, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::password;
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::{domain, zap};

behaviours! {
    a_domain_that_is_not_configured_accepts_nobody,
    the_right_password_is_accepted_and_names_the_user,
    a_wrong_password_and_an_unknown_user_are_refused,
    names_and_passwords_of_255_bytes_work,
    an_empty_table_replaces_the_old_one,
}

fn a_domain_that_is_not_configured_accepts_nobody(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.configure_plain("another", [("alice", password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let mut server = Server::new(&context, |socket| socket.plain_server("shop"));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    server.expect(zmq_auth::Handshake::Denied(400));
}

fn the_right_password_is_accepted_and_names_the_user(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    let domain = domain("shop");
    auth.configure_plain(&domain, [("alice", password("a")), ("bob", password("b"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    for transport in [Transport::Tcp, Transport::Ipc] {
        let server = Server::bind(&context, zmq::REP, transport, |socket| socket.plain_server(&domain));
        for (name, secret) in [("alice", password("a")), ("bob", password("b"))] {
            let received = Client::plain(&context, server.endpoint(), name, &secret).round_trip(&server);
            assert_eq!(received.sender().user_id(), Some(name));
        }
    }
}

fn a_wrong_password_and_an_unknown_user_are_refused(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a")), ("bob", password("b"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    for (name, secret) in [
        ("alice", password("b")),
        ("alice", password("A")),
        ("alice", password("a").trim_end_matches('a').to_owned()),
        ("Alice", password("a")),
        ("mallory", password("a")),
    ] {
        Client::plain(&context, server.endpoint(), name, &secret).expect_denied();
    }
    server.assert_nothing_received();
    Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
}

fn names_and_passwords_of_255_bytes_work(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    let name = "n".repeat(255);
    let secret = password(&"p".repeat(255 - password("").len()));
    assert_eq!(secret.len(), 255);
    auth.configure_plain("shop", [(name.as_str(), secret.as_str())]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    let received = Client::plain(&context, server.endpoint(), &name, &secret).round_trip(&server);
    assert_eq!(received.sender().user_id(), Some(name.as_str()));
    Client::plain(&context, server.endpoint(), &name, &secret[..254]).expect_denied();
}

fn an_empty_table_replaces_the_old_one(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
    auth.configure_plain("shop", [("", ""); 0]).unwrap();
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
}

#[test]
fn an_unknown_user_with_an_empty_password_is_refused() {
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    auth.configure_plain("nobody", [("", ""); 0]).unwrap();
    for domain in ["shop", "nobody", "unknown"] {
        for (name, secret) in [(&b"mallory"[..], &b""[..]), (b"", b""), (b"alice", b""), (b"mallory", &[0; 255])] {
            assert_eq!(zap::plain(&auth, domain, name, secret), 400, "{domain}");
        }
    }
    assert_eq!(zap::plain(&auth, "shop", b"alice", password("a").as_bytes()), 200);
}

#[test]
fn names_and_passwords_that_are_not_utf8_never_equal_others() {
    let auth = Authenticator::new();
    // What a lossy conversion would make of an invalid byte.
    let replaced = password("\u{fffd}");
    auth.configure_plain("shop", [("\u{fffd}", replaced.clone()), ("alice", replaced.clone())]).unwrap();
    let bad = password("").into_bytes().into_iter().chain([0xff]).collect::<Vec<u8>>();
    assert_eq!(zap::plain(&auth, "shop", "\u{fffd}".as_bytes(), replaced.as_bytes()), 200);
    assert_eq!(zap::plain(&auth, "shop", b"\xff", replaced.as_bytes()), 400);
    assert_eq!(zap::plain(&auth, "shop", b"alice", &bad), 400);
}

#[test]
fn passwords_are_bytes_and_need_not_be_text() {
    let auth = Authenticator::new();
    let bytes = password("").into_bytes().into_iter().chain([0xff, 0xfe]).collect::<Vec<u8>>();
    auth.configure_plain("shop", [("alice", bytes.clone())]).unwrap();
    assert_eq!(zap::plain(&auth, "shop", b"alice", &bytes), 200);
    assert_eq!(zap::plain(&auth, "shop", b"alice", &bytes[..bytes.len() - 1]), 400);
}

#[test]
fn a_table_that_no_client_could_use_is_an_error_and_the_old_one_stays() {
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let (long, fine) = (password(&"x".repeat(256)), password("fine"));
    for (name, secret) in [("", fine.as_str()), ("bob", ""), (&long, &fine), ("bob", &long), ("b\0b", &fine)] {
        let error = auth.configure_plain("shop", [("carol", fine.as_str()), (name, secret)]).unwrap_err();
        assert!(matches!(error, Error::PlainCredentials { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains(crate::harness::log::SENTINEL));
    }
    assert_eq!(zap::plain(&auth, "shop", b"alice", password("a").as_bytes()), 200);
    assert_eq!(zap::plain(&auth, "shop", b"carol", fine.as_bytes()), 400);
}

#[test]
fn an_unknown_user_and_a_wrong_password_read_the_same() {
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let ask = |name: &str| {
        let secret = password("wrong");
        let request = zap::request("shop", "127.0.0.1", "PLAIN", &[name.as_bytes(), secret.as_bytes()]);
        auth.handle_zap_message(&request).unwrap()
    };
    assert_eq!(ask("alice"), ask("mallory"));
    assert_eq!(&ask("alice")[2][..], b"400");
}
