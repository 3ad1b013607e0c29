//! NULL: asked about only where the server has a domain, and judged by address alone.

use zmq_auth::{Authenticator, Handshake, SocketExt};

use crate::harness::faces::{Face, behaviours};
use crate::harness::sockets::{Client, Server, Transport, assert_no_handshake};
use crate::harness::{domain, zap};

behaviours! {
    without_a_domain_nobody_is_asked,
    with_a_domain_clients_are_let_in_by_default,
    a_denied_address_is_kept_out,
    an_address_that_is_not_on_the_allow_list_is_kept_out,
    null_works_again_after_the_handler_is_gone,
    a_message_of_a_null_client_has_no_user_id,
}

fn plain_null(_: &mut zmq::Socket) -> zmq::Result<()> {
    Ok(())
}

fn without_a_domain_nobody_is_asked(face: Face) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.deny(["127.0.0.0/8"]).unwrap();
    let _running = face.start(&auth, &context);
    let server = Server::new(&context, plain_null);
    Client::null(&context, server.endpoint()).round_trip(&server);
    assert_eq!(auth.counters(), Default::default());
}

fn with_a_domain_clients_are_let_in_by_default(face: Face) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    let _running = face.start(&auth, &context);
    for transport in [Transport::Tcp, Transport::Tcp6, Transport::Ipc] {
        let domain = domain("null");
        let server = Server::bind(&context, zmq::REP, transport, |socket| socket.null_server(&domain));
        Client::null(&context, server.endpoint()).round_trip(&server);
    }
    assert_eq!(auth.counters().allowed, 3);
}

fn a_denied_address_is_kept_out(face: Face) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.deny(["127.0.0.2"]).unwrap();
    let _running = face.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, &server.endpoint_from("127.0.0.2")).expect_denied();
    Client::null(&context, server.endpoint()).round_trip(&server);
}

fn an_address_that_is_not_on_the_allow_list_is_kept_out(face: Face) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.allow(["127.0.0.2/31"]).unwrap();
    let _running = face.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, server.endpoint()).expect_denied();
    Client::null(&context, &server.endpoint_from("127.0.0.3")).round_trip(&server);
}

fn null_works_again_after_the_handler_is_gone(face: Face) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.deny(["127.0.0.1"]).unwrap();
    let running = face.start(&auth, &context);
    let mut guarded = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, guarded.endpoint()).expect_denied();
    guarded.expect(Handshake::Denied(400));
    running.stop().unwrap();

    let server = Server::new(&context, plain_null);
    Client::null(&context, server.endpoint()).round_trip(&server);
    // The guarded one has nobody to ask, and its door is shut.
    let mut client = Client::null(&context, guarded.endpoint());
    guarded.expect(Handshake::Failed(None));
    assert_no_handshake(&mut client);
}

fn a_message_of_a_null_client_has_no_user_id(face: Face) {
    let context = zmq::Context::new();
    let _running = face.start(&Authenticator::new(), &context);
    let server = Server::new(&context, |socket| socket.null_server("null"));
    let received = Client::null(&context, server.endpoint()).round_trip(&server);
    assert_eq!(received.sender().user_id().unwrap_or_default(), "");
    assert_eq!(received.sender().address(), Some("127.0.0.1"));
}

#[test]
fn an_unguarded_null_server_lets_anybody_in_whatever_the_policy_says() {
    // What libzmq does by itself, and `null_server` is there for.
    let context = zmq::Context::new();
    let _handler = zap::Handler::bind(&context);
    let mut server = Server::new(&context, plain_null);
    Client::null(&context, server.endpoint()).round_trip(&server);
    server.expect(Handshake::Authenticated);
}
