//! A REQ socket as server: libzmq puts a client's user id in front of its first reply.

use zmq_auth::{Authenticator, Handshake, Metadata, SocketExt, Verdict};

use crate::harness::domain;
use crate::harness::log::password;
use crate::harness::sockets::{Client, Server, Transport};

fn pair(auth: &Authenticator, context: &zmq::Context, domain: &str) -> (Server, Client) {
    auth.configure_plain_callback(domain, |user, _, _| Verdict::AllowAs {
        user_id: if user == "named" { "alice".into() } else { String::new() },
        metadata: Metadata::default(),
    })
    .unwrap();
    let server = Server::bind(context, zmq::REQ, Transport::Tcp, |socket| socket.plain_server(domain));
    let user = domain.split('-').next().unwrap().to_owned();
    let mut client =
        Client::connect(context, zmq::REP, server.endpoint(), |socket| socket.plain_client(&user, &password("a")));
    client.expect(Handshake::Authenticated);
    server.send("ping", 0).unwrap();
    assert_eq!(client.recv_bytes(0).unwrap(), b"ping");
    client.send("pong", 0).unwrap();
    (server, client)
}

#[test]
fn a_client_with_a_user_id_is_dropped_at_its_reply() {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = auth.start(&context).unwrap();
    let (server, mut client) = pair(&auth, &context, &domain("named"));
    client.expect(Handshake::Authenticated); // again: it was dropped
    server.assert_nothing_received();
}

#[test]
fn a_client_with_an_empty_user_id_is_heard() {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = auth.start(&context).unwrap();
    let (server, _client) = pair(&auth, &context, &domain("nobody"));
    assert_eq!(server.recv_bytes(0).unwrap(), b"pong");
}
