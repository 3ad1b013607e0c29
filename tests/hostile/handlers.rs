//! Handlers that answer too often, too late, or are gone without a word.

use zmq_auth::Handshake;

use crate::harness::doors::{Door, MECHANISMS};
use crate::harness::zap::Handler;

const SHORT_MS: i32 = 1_500;
const LONG_MS: i32 = 30_000;

#[test]
fn a_second_answer_takes_nothing_back() {
    for mechanism in MECHANISMS {
        for (first, second) in [("400", "200"), ("500", "200"), ("300", "200")] {
            let (context, door) = (zmq::Context::new(), Door::new(mechanism));
            let handler = Handler::bind(&context);
            let mut server = door.server(&context, LONG_MS);
            let _client = door.client_once(&context, server.endpoint());
            let question = handler.receive();
            handler.reply(&question, first);
            handler.reply(&question, second);
            server.expect(Handshake::Denied(first.parse().unwrap()));
            // Who comes next is asked about, and refused: the second answer was none about it.
            let mut next = door.client_once(&context, &server.endpoint_from("127.0.0.9"));
            handler.reply(&handler.receive_from("127.0.0.9"), "400");
            next.expect_denied();
            server.expect(Handshake::Denied(400));
            server.assert_nothing_received();
            let mut good = door.client(&context, &server.endpoint_from("127.0.0.8"));
            handler.reply(&handler.receive_from("127.0.0.8"), "200");
            good.round_trip(&server);
        }
    }
}

#[test]
fn an_answer_after_the_end_of_its_handshake_lets_nobody_in() {
    for mechanism in MECHANISMS {
        let (context, door) = (zmq::Context::new(), Door::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = door.server(&context, SHORT_MS);
        let _client = door.client_once(&context, server.endpoint());
        let late = handler.receive();
        server.expect(Handshake::Failed(None));
        // While another waits for its own answer.
        let mut next = door.client_once(&context, &server.endpoint_from("127.0.0.9"));
        let question = handler.receive_from("127.0.0.9");
        handler.reply(&late, "200");
        handler.reply(&question, "400");
        next.expect_denied();
        server.expect(Handshake::Denied(400));
        server.assert_nothing_received();
    }
}

#[test]
fn a_handler_that_closes_without_unbinding_in_mid_handshake_lets_nobody_in() {
    for mechanism in MECHANISMS {
        let (context, door) = (zmq::Context::new(), Door::new(mechanism));
        let handler = Handler::bind(&context);
        let mut server = door.server(&context, SHORT_MS);
        let _client = door.client_once(&context, server.endpoint());
        handler.receive();
        drop(handler);
        server.expect(Handshake::Failed(None));
        server.assert_nothing_received();
        // Nor does anybody while there is none.
        let _next = door.client_once(&context, server.endpoint());
        server.expect(Handshake::Failed(None));
        server.assert_nothing_received();
    }
}
