//! NULL: asked about only if the server has a domain, and decided by address only.

use zmq_auth::{Authenticator, Handshake, MatchedDomain, NullAccess, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::sockets::{Client, Server, Transport, assert_no_handshake};
use crate::harness::{domain, zap};

behaviours! {
    without_a_domain_the_handler_is_not_asked,
    with_a_domain_clients_are_accepted_by_default,
    a_denied_address_is_refused,
    an_address_that_is_not_on_the_allow_list_is_refused,
    null_works_again_after_the_handler_is_gone,
    a_message_of_a_null_client_has_no_user_id,
    a_domain_may_refuse_null_clients,
    a_callback_may_decide_about_null_clients,
    a_null_client_is_no_longer_allowed_once_its_domain_refuses_them,
}

fn plain_null(_: &mut zmq::Socket) -> zmq::Result<()> {
    Ok(())
}

fn without_a_domain_the_handler_is_not_asked(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.deny(["127.0.0.0/8"]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, plain_null);
    Client::null(&context, server.endpoint()).round_trip(&server);
    assert_eq!(auth.counters(), Default::default());
}

fn with_a_domain_clients_are_accepted_by_default(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    let _running = front_end.start(&auth, &context);
    for transport in [Transport::Tcp, Transport::Tcp6, Transport::Ipc] {
        let domain = domain("null");
        let server = Server::bind(&context, zmq::REP, transport, |socket| socket.null_server(&domain));
        Client::null(&context, server.endpoint()).round_trip(&server);
    }
    assert_eq!(auth.counters().allowed, 3);
}

fn a_denied_address_is_refused(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.deny(["127.0.0.2"]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, &server.endpoint_from("127.0.0.2")).expect_denied();
    Client::null(&context, server.endpoint()).round_trip(&server);
}

fn an_address_that_is_not_on_the_allow_list_is_refused(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.allow(["127.0.0.2/31"]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, server.endpoint()).expect_denied();
    Client::null(&context, &server.endpoint_from("127.0.0.3")).round_trip(&server);
}

fn null_works_again_after_the_handler_is_gone(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    auth.deny(["127.0.0.1"]).unwrap();
    let running = front_end.start(&auth, &context);
    let mut guarded = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, guarded.endpoint()).expect_denied();
    guarded.expect(Handshake::Denied(400));
    running.stop().unwrap();

    let server = Server::new(&context, plain_null);
    Client::null(&context, server.endpoint()).round_trip(&server);
    // The guarded one has no handler to ask, and refuses.
    let mut client = Client::null(&context, guarded.endpoint());
    guarded.expect(Handshake::Failed(None));
    assert_no_handshake(&mut client);
}

fn a_message_of_a_null_client_has_no_user_id(front_end: FrontEnd) {
    let context = zmq::Context::new();
    let _running = front_end.start(&Authenticator::new(), &context);
    let server = Server::new(&context, |socket| socket.null_server("null"));
    let received = Client::null(&context, server.endpoint()).round_trip(&server);
    assert_eq!(received.sender().user_id().unwrap_or_default(), "");
    assert_eq!(received.sender().address(), Some("127.0.0.1"));
}

#[test]
fn an_unguarded_null_server_accepts_anybody_whatever_the_policy_says() {
    // What libzmq does by itself, and `null_server` prevents.
    let context = zmq::Context::new();
    let _handler = zap::Handler::bind(&context);
    let mut server = Server::new(&context, plain_null);
    Client::null(&context, server.endpoint()).round_trip(&server);
    server.expect(Handshake::Authenticated);
}

fn a_domain_may_refuse_null_clients(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (open, mistyped) = (domain("lab"), domain("lba"));
    auth.configure_null("*", NullAccess::Deny).unwrap();
    auth.configure_null(&open, NullAccess::Allow).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server(&open));
    Client::null(&context, server.endpoint()).round_trip(&server);
    let server = Server::new(&context, |socket| socket.null_server(&mistyped));
    Client::null(&context, server.endpoint()).expect_denied();
    assert!(auth.remove_domain("*"));
    Client::null(&context, server.endpoint()).round_trip(&server);
}

fn a_callback_may_decide_about_null_clients(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("null"));
    auth.configure_null_callback(&domain, |peer| peer.ip().is_some()).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server(&domain));
    Client::null(&context, server.endpoint()).round_trip(&server);
    auth.configure_null_callback(&domain, |_| -> bool { panic!("a callback that panics, as it should here") }).unwrap();
    Client::null(&context, server.endpoint()).expect(Handshake::Denied(500));
}

fn a_null_client_is_no_longer_allowed_once_its_domain_refuses_them(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("null"));
    auth.mark_clients().unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.null_server(&domain));
    let mut message = Client::null(&context, server.endpoint()).round_trip(&server).into_frames().remove(0);
    assert!(auth.is_still_allowed(&mut message));
    auth.configure_null(&domain, NullAccess::Deny).unwrap();
    assert!(!auth.is_still_allowed(&mut message));
    auth.configure_null_callback(&domain, |_| true).unwrap();
    assert!(!auth.is_still_allowed(&mut message), "no callback was asked about it");
    auth.configure_null(&domain, NullAccess::Allow).unwrap();
    assert!(auth.is_still_allowed(&mut message));
}

#[test]
fn the_explanation_names_what_decides_about_null_clients() {
    let auth = Authenticator::new();
    let explain = |domain: &str| auth.explain(&zap::request(domain, "127.0.0.1", "NULL", &[])).unwrap();
    assert_eq!((explain("d").status, explain("d").domain), (Some(200), None));
    auth.configure_null("*", NullAccess::Deny).unwrap();
    let why = explain("d");
    assert_eq!((why.status, why.domain, why.source), (Some(400), Some(MatchedDomain::Any), Some("deny")));
    auth.configure_null("d", NullAccess::Allow).unwrap();
    assert_eq!((explain("d").status, explain("d").domain), (Some(200), Some(MatchedDomain::Exact)));
    auth.configure_null_callback("d", |_| -> bool { panic!("it isn't asked") }).unwrap();
    assert_eq!((explain("d").status, explain("d").source), (None, Some("a callback")));
    assert!(auth.configure_null("", NullAccess::Deny).is_err());
}

#[cfg(feature = "tokio")]
#[test]
fn an_async_callback_may_decide_about_null_clients() {
    for front_end in [FrontEnd::CurrentThread, FrontEnd::MultiThread] {
        let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("null"));
        auth.configure_null_callback_async(&domain, |peer| async move { peer.ipc().is_some() }).unwrap();
        let _running = front_end.start(&auth, &context);
        let server = Server::new(&context, |socket| socket.null_server(&domain));
        Client::null(&context, server.endpoint()).expect_denied();
        assert_eq!(zap::null(&auth, &domain, "127.0.0.1"), 500, "it needs a runtime");
    }
}
