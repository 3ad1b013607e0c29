//! Senders: the user id and the metadata of the sender of a message, with every type of socket.

use zmq_auth::{Metadata, Sender, SocketExt, ThreadAuthenticator, Verdict};

use crate::harness::log::password;
use crate::harness::sockets::{Client, Server, Transport};

/// The server's answer to every client, with metadata.
fn named(context: &zmq::Context) -> ThreadAuthenticator {
    let auth = ThreadAuthenticator::start(context).unwrap();
    auth.configure_plain_callback("shop", |user, _, _| {
        let mut metadata = Metadata::default();
        metadata.insert("role", "reader").unwrap();
        Verdict::AllowAs { user_id: format!("the user {user}"), metadata }
    })
    .unwrap();
    auth
}

#[test]
fn the_sender_is_known_at_every_kind_of_socket() {
    let context = zmq::Context::new();
    let _auth = named(&context);
    for (kind, other, frames) in [
        (zmq::REP, zmq::REQ, 2),
        (zmq::ROUTER, zmq::DEALER, 3),
        (zmq::DEALER, zmq::DEALER, 2),
        (zmq::PULL, zmq::PUSH, 2),
        (zmq::PAIR, zmq::PAIR, 2),
    ] {
        let server = Server::bind(&context, kind, Transport::Tcp6, |socket| socket.plain_server("shop"));
        let endpoint = format!("tcp://127.0.0.1:{}", server.port());
        let client = Client::connect(&context, other, &endpoint, |socket| socket.plain_client("alice", &password("a")));
        client.send_multipart(["one", "two"], 0).unwrap();
        let received = server.receive();
        assert_eq!(received.frames().len(), frames, "{kind:?}");
        let sender = received.sender();
        assert_eq!(sender.user_id(), Some("the user alice"), "{kind:?}");
        assert_eq!(sender.property("role"), Some("reader"));
        assert_eq!(sender.address(), Some("::ffff:127.0.0.1"));
        assert_eq!(sender.ip(), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(sender.property("no such"), None);
        assert_eq!(sender.property("role\0"), None);
        for frame in received.into_frames().iter_mut().skip(frames - 2) {
            assert_eq!(Sender::of(frame).user_id(), Some("the user alice"), "{kind:?}");
        }
    }
    // A subscription is a message, too.
    let server = Server::bind(&context, zmq::XPUB, Transport::Tcp, |socket| socket.plain_server("shop"));
    let client =
        Client::connect(&context, zmq::SUB, server.endpoint(), |socket| socket.plain_client("bob", &password("b")));
    client.set_subscribe(b"news").unwrap();
    let received = server.receive();
    assert_eq!(&received.frames()[0][..], b"\x01news");
    assert_eq!(received.sender().user_id(), Some("the user bob"));
}

#[test]
fn two_clients_of_one_socket_are_told_apart() {
    let context = zmq::Context::new();
    let _auth = named(&context);
    let server = Server::bind(&context, zmq::PULL, Transport::Tcp, |socket| socket.plain_server("shop"));
    let clients = ["alice", "bob"].map(|name| {
        Client::connect(&context, zmq::PUSH, server.endpoint(), |socket| socket.plain_client(name, &password(name)))
    });
    for _ in 0..10 {
        for (client, name) in clients.iter().zip(["alice", "bob"]) {
            client.send(name, 0).unwrap();
        }
    }
    for _ in 0..20 {
        let received = server.receive();
        let name = received.frames()[0].as_str().unwrap().to_owned();
        assert_eq!(received.sender().user_id(), Some(format!("the user {name}").as_str()));
    }
    assert!(matches!(server.recv_with_sender(zmq::DONTWAIT), Err(zmq::Error::EAGAIN)));
}
