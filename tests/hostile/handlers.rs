//! Handlers that misbehave: bad replies, late or repeated ones, none. Nobody is accepted because of it, and the next client is
//! served.

use zmq_auth::{Authenticator, Handshake};

use crate::harness::DEADLINE;
use crate::harness::fixture::{Fixture, MECHANISMS, Mechanism};
use crate::harness::sockets::{Client, Server, assert_no_handshake};
use crate::harness::zap::{Handler, Question};

/// For handshakes that the handler leaves hanging.
const SHORT_MS: i32 = 2_000;
const LONG_MS: i32 = 30_000;

/// Asserts that the client saw no success.
#[track_caller]
fn assert_not_accepted(client: &mut Client, server: &Server) {
    while let Some(handshake) = client.wait_for_handshake(std::time::Duration::ZERO).unwrap() {
        assert_ne!(handshake, Handshake::Authenticated);
    }
    server.assert_nothing_received();
}

/// Asserts that the good client is accepted once the handler answers as it should. It has another source address, so that its
/// request can be told from earlier ones.
#[track_caller]
fn assert_good_client_is_accepted(fixture: &Fixture, context: &zmq::Context, server: &Server, handler: &Handler) {
    let mut client = fixture.client(context, &server.endpoint_from("127.0.0.9"));
    handler.reply(&handler.receive_from("127.0.0.9"), "200");
    let received = client.round_trip(server);
    assert_eq!(received.sender().user_id(), Some("somebody"));
}

/// libzmq's error at the server's end for an invalid reply.
#[track_caller]
fn protocol_error(server: &mut Server) -> u32 {
    match server.wait_for_handshake(DEADLINE).unwrap() {
        Some(Handshake::Failed(Some(error))) => error.code(),
        other => panic!("{other:?} is no protocol error"),
    }
}

/// For each mechanism: a bad reply ends the handshake with this error, and the next client is served.
fn refused(frames: impl Fn(&Question) -> Vec<Vec<u8>>, code: u32) {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, LONG_MS);
        let mut client = fixture.client_once(&context, server.endpoint());
        let question = handler.receive();
        let frames = frames(&question);
        handler.send(&question, &frames.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(protocol_error(&mut server), code, "{mechanism:?}");
        assert_not_accepted(&mut client, &server);
        assert_good_client_is_accepted(&fixture, &context, &server, &handler);
    }
}

// ZMQ_PROTOCOL_ERROR_ZAP_* of zmq.h.
const MALFORMED_REPLY: u32 = 0x2000_0001;
const BAD_REQUEST_ID: u32 = 0x2000_0002;
const BAD_VERSION: u32 = 0x2000_0003;
const INVALID_STATUS: u32 = 0x2000_0004;
const INVALID_METADATA: u32 = 0x2000_0005;

/// A reply that accepts the client, except for what the test changes.
fn accepting_reply(question: &Question) -> Vec<Vec<u8>> {
    [b"", &b"1.0"[..], question.request_id(), b"200", b"OK", b"somebody", b""].map(<[u8]>::to_vec).into()
}

fn with(frame: usize, value: &'static [u8]) -> impl Fn(&Question) -> Vec<Vec<u8>> {
    move |question| {
        let mut frames = accepting_reply(question);
        frames[frame] = value.to_vec();
        frames
    }
}

#[test]
fn a_reply_of_another_version_accepts_nobody() {
    refused(with(1, b"1.1"), BAD_VERSION);
}

#[test]
fn a_reply_to_another_request_accepts_nobody() {
    refused(with(2, b"2"), BAD_REQUEST_ID);
}

#[test]
fn an_invalid_status_accepts_nobody() {
    for status in [&b"201"[..], b"600", b"20", b"2000", b"abc", b""] {
        refused(with(3, status), INVALID_STATUS);
    }
}

#[test]
fn malformed_metadata_accepts_nobody() {
    refused(with(6, b"\x09role"), INVALID_METADATA);
}

#[test]
fn too_many_frames_accept_nobody() {
    let more = |question: &Question| {
        let mut frames = accepting_reply(question);
        frames.push(b"more".to_vec());
        frames
    };
    refused(more, MALFORMED_REPLY);
}

#[test]
fn too_few_frames_accept_nobody() {
    let fewer = |question: &Question| {
        let mut frames = accepting_reply(question);
        frames.pop();
        frames
    };
    refused(fewer, MALFORMED_REPLY);
}

#[test]
fn a_delimiter_that_is_not_empty_accepts_nobody() {
    refused(with(0, b"x"), 0x2000_0000);
}

#[test]
fn at_300_the_client_is_told_nothing_and_tries_again_by_itself() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, LONG_MS);
        let mut client = Client::new(&context, server.endpoint(), |socket| {
            socket.set_handshake_ivl(SHORT_MS).unwrap();
            fixture.set_up_client(socket)
        });
        handler.reply(&handler.receive(), "300");
        server.expect(Handshake::Denied(300));
        assert_not_accepted(&mut client, &server);
        // It asks again after its own timeout. The monitor would have reported a status before that.
        handler.reply(&handler.receive(), "200");
        let first = loop {
            match client.wait_for_handshake(DEADLINE).unwrap().expect("the second try ends") {
                Handshake::Failed(None) => {} // its own timer
                other => break other,
            }
        };
        assert_eq!(first, Handshake::Authenticated, "{mechanism:?}");
        client.exchange(&server);
    }
}

#[test]
fn both_ends_see_400_and_500() {
    for mechanism in MECHANISMS {
        for code in [400, 500] {
            let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
            let handler = Handler::bind(&context);
            let mut server = fixture.server(&context, LONG_MS);
            let mut client = fixture.client(&context, server.endpoint());
            handler.reply(&handler.receive(), &code.to_string());
            client.expect(Handshake::Denied(code));
            server.expect(Handshake::Denied(code));
            assert_not_accepted(&mut client, &server);
            assert_good_client_is_accepted(&fixture, &context, &server, &handler);
        }
    }
}

#[test]
fn without_a_handler_nobody_is_accepted() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let mut server = fixture.server(&context, LONG_MS);
        let mut client = fixture.client_once(&context, server.endpoint());
        server.expect(Handshake::Failed(None));
        assert_not_accepted(&mut client, &server);
        let handler = Handler::bind(&context);
        assert_good_client_is_accepted(&fixture, &context, &server, &handler);
    }
}

#[test]
fn a_handler_that_never_answers_accepts_nobody_and_holds_up_no_traffic() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, SHORT_MS);
        let mut established = fixture.client(&context, server.endpoint());
        handler.reply(&handler.receive(), "200");
        established.round_trip(&server);
        server.expect(Handshake::Authenticated);
        let mut client = fixture.client_once(&context, server.endpoint());
        handler.receive();
        established.exchange(&server);
        server.expect(Handshake::Failed(None));
        assert_not_accepted(&mut client, &server);
        established.exchange(&server);
        assert_good_client_is_accepted(&fixture, &context, &server, &handler);
    }
}

#[test]
fn a_handler_that_never_reads_accepts_nobody() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, SHORT_MS);
        let mut clients: Vec<_> = (0..20).map(|_| fixture.client_once(&context, server.endpoint())).collect();
        for _ in &clients {
            server.expect(Handshake::Failed(None));
        }
        for client in &mut clients {
            assert_not_accepted(client, &server);
        }
        // It reads at last, and answers requests that nobody waits for any more.
        while !handler.is_idle() {
            handler.reply(&handler.receive(), "200");
        }
        assert_good_client_is_accepted(&fixture, &context, &server, &handler);
        for client in &mut clients {
            assert_not_accepted(client, &server);
        }
    }
}

#[test]
fn a_handler_that_unbinds_in_mid_handshake_accepts_nobody() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, SHORT_MS);
        let mut client = fixture.client_once(&context, server.endpoint());
        handler.receive();
        handler.unbind();
        server.expect(Handshake::Failed(None));
        assert_not_accepted(&mut client, &server);
        let handler = Handler::bind(&context);
        assert_good_client_is_accepted(&fixture, &context, &server, &handler);
    }
}

#[test]
fn the_handler_gets_version_id_domain_address_identity_mechanism_and_credentials() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let server = Server::bind(&context, zmq::ROUTER, crate::harness::sockets::Transport::Tcp, |socket| {
            socket.set_identity(b"the server's own").unwrap();
            fixture.set_up_server(socket)
        });
        let _client = Client::connect(&context, zmq::DEALER, server.endpoint(), |socket| {
            socket.set_identity(b"the client's").unwrap();
            fixture.set_up_client(socket)
        });
        let mut frames = handler.receive().frames;
        assert!(frames.remove(1).is_empty(), "the delimiter");
        let expected: [&[u8]; 5] = [b"1.0", b"1", b"fixture", b"127.0.0.1", b"the server's own"];
        assert_eq!(&frames[1..6], &expected);
        let credentials: Vec<&[u8]> = match mechanism {
            Mechanism::Null => vec![b"NULL"],
            Mechanism::Plain => vec![b"PLAIN", b"alice", fixture.password.as_bytes()],
            Mechanism::Curve => vec![b"CURVE", fixture.client_keys.public.as_bytes()],
        };
        assert_eq!(&frames[6..], &credentials);
    }
}

#[test]
fn a_handler_that_is_replaced_by_ours_leaves_no_gap() {
    for mechanism in MECHANISMS {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(mechanism), Authenticator::new());
        let handler = Handler::bind(&context);
        let server = fixture.server(&context, LONG_MS);
        assert!(matches!(auth.start(&context), Err(zmq_auth::Error::AlreadyRunning)));
        handler.unbind();
        auth.deny(["127.0.0.1"]).unwrap();
        fixture.configure(&auth);
        let _running = auth.start(&context).unwrap();
        let mut client = fixture.client(&context, server.endpoint());
        client.expect_denied();
        assert_no_handshake(&mut client);
        auth.set_addresses([""; 0], [""; 0]).unwrap();
        fixture.client(&context, server.endpoint()).round_trip(&server);
    }
}

#[test]
fn a_second_answer_changes_nothing() {
    for mechanism in MECHANISMS {
        for (first, second) in [("400", "200"), ("500", "200"), ("300", "200")] {
            let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
            let handler = Handler::bind(&context);
            let mut server = fixture.server(&context, LONG_MS);
            let _client = fixture.client_once(&context, server.endpoint());
            let question = handler.receive();
            handler.reply(&question, first);
            handler.reply(&question, second);
            server.expect(Handshake::Denied(first.parse().unwrap()));
            // The handler is asked about the next client, and refuses it: the second answer didn't count for it.
            let mut next = fixture.client_once(&context, &server.endpoint_from("127.0.0.9"));
            handler.reply(&handler.receive_from("127.0.0.9"), "400");
            next.expect_denied();
            server.expect(Handshake::Denied(400));
            server.assert_nothing_received();
            let mut good = fixture.client(&context, &server.endpoint_from("127.0.0.8"));
            handler.reply(&handler.receive_from("127.0.0.8"), "200");
            good.round_trip(&server);
        }
    }
}

#[test]
fn an_answer_after_the_end_of_its_handshake_accepts_nobody() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, SHORT_MS);
        let _client = fixture.client_once(&context, server.endpoint());
        let late = handler.receive();
        server.expect(Handshake::Failed(None));
        // While another client waits for its own answer.
        let mut next = fixture.client_once(&context, &server.endpoint_from("127.0.0.9"));
        let question = handler.receive_from("127.0.0.9");
        handler.reply(&late, "200");
        handler.reply(&question, "400");
        next.expect_denied();
        server.expect(Handshake::Denied(400));
        server.assert_nothing_received();
    }
}

#[test]
fn a_handler_that_closes_without_unbinding_in_mid_handshake_accepts_nobody() {
    for mechanism in MECHANISMS {
        let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = fixture.server(&context, SHORT_MS);
        let _client = fixture.client_once(&context, server.endpoint());
        handler.receive();
        drop(handler);
        server.expect(Handshake::Failed(None));
        server.assert_nothing_received();
        // Nor is anybody accepted while there is no handler.
        let _next = fixture.client_once(&context, server.endpoint());
        server.expect(Handshake::Failed(None));
        server.assert_nothing_received();
    }
}
