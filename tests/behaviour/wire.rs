//! Requests that libzmq wouldn't make, sent directly to the handler's endpoint, as any code in the process can.

use zmq_auth::{Authenticator, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::password;
use crate::harness::sockets::{self, Client, Server};
use crate::harness::zap::{self, Asker};

behaviours! {
    a_request_that_cannot_be_answered_is_dropped_and_the_next_is_served,
    too_many_frames_are_denied_and_the_next_is_served,
    huge_frames_are_denied_and_the_next_is_served,
    answers_go_back_to_the_asker_with_the_request_id,
    a_thousand_requests_at_once_are_all_answered,
}

fn good() -> Vec<Vec<u8>> {
    zap::request("d", "127.0.0.1", "NULL", &[])
}

fn a_request_that_cannot_be_answered_is_dropped_and_the_next_is_served(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let cases: [&[&[u8]]; 7] = [
        &[b""],
        &[b"x"],
        &[b"", b"1.0"],
        &[b"", b""],
        &[b"1.0", b"1", b"d", b"127.0.0.1", b"", b"NULL"],
        &[b"x", b"1.0", b"1", b"d", b"127.0.0.1", b"", b"NULL"],
        &[b"\0", b"1.0", b"1", b"d", b"127.0.0.1", b"", b"NULL"],
    ];
    for (n, frames) in cases.into_iter().enumerate() {
        asker.send(frames);
        asker.ask(&good());
        assert_eq!(zap::status_of(&asker.reply()), 200, "case {n}");
        asker.assert_no_reply();
        assert_eq!(auth.counters().dropped, n as u64 + 1);
    }
    // libzmq's own requests, too.
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
}

fn too_many_frames_are_denied_and_the_next_is_served(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("d", [("alice", password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let secret = password("a");
    for extra in [1, 7, 8, 9, 100, 1000, 20_000] {
        for (mechanism, credentials) in [("NULL", &[][..]), ("PLAIN", &[&b"alice"[..], secret.as_bytes()][..])] {
            let mut request = zap::request("d", "127.0.0.1", mechanism, credentials);
            request.extend((0..extra).map(|_| b"more".to_vec()));
            asker.ask(&request);
            assert_eq!(zap::status_of(&asker.reply()), 400, "{extra} more than {mechanism} has");
            asker.ask(&zap::request("d", "127.0.0.1", mechanism, credentials));
            assert_eq!(zap::status_of(&asker.reply()), 200, "after {extra}");
        }
    }
}

fn huge_frames_are_denied_and_the_next_is_served(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("d", [("alice", password("a"))]).unwrap();
    auth.configure_plain_callback("asked", |user, _, _| user == "alice").unwrap();
    auth.deny(["192.0.2.1"]).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let huge = vec![b'x'; 8 << 20];
    for frame in [0, 2, 3, 5, 6, 7] {
        for domain in ["d", "asked"] {
            let mut request = zap::request(domain, "127.0.0.1", "PLAIN", &[b"mallory", b"guess"]);
            request[frame].clone_from(&huge);
            asker.ask(&request);
            assert_eq!(zap::status_of(&asker.reply()), 400, "frame {frame}");
            asker.ask(&good());
            assert_eq!(zap::status_of(&asker.reply()), 200);
        }
    }
    // The request id is returned, whatever it is.
    let mut request = good();
    request[1].clone_from(&huge);
    asker.ask(&request);
    assert_eq!(asker.reply()[1], huge);
}

fn answers_go_back_to_the_asker_with_the_request_id(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("d", [("alice", password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let (left, right) = (Asker::connect(&context), Asker::connect(&context));
    // A REQ socket, as small tools use it.
    let request = sockets::socket(&context, zmq::REQ);
    request.connect(zap::ENDPOINT).unwrap();
    let secret = password("a");
    for id in [&b"1"[..], b"", b"\0\xff", b"a long request id that is no number"] {
        let mut allowed = zap::request("d", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]);
        let mut denied = zap::request("d", "127.0.0.1", "PLAIN", &[b"mallory", secret.as_bytes()]);
        (allowed[1], denied[1]) = (id.into(), id.into());
        left.ask(&allowed);
        right.ask(&denied);
        request.send_multipart(&allowed, 0).unwrap();
        let (left, right, reply) = (left.reply(), right.reply(), request.recv_multipart(0).unwrap());
        assert_eq!((&left[1][..], zap::status_of(&left), &left[4][..]), (id, 200, &b"alice"[..]));
        assert_eq!((&right[1][..], zap::status_of(&right), &right[4][..]), (id, 400, &b""[..]));
        assert_eq!((&reply[1][..], zap::status_of(&reply)), (id, 200));
    }
}

fn a_thousand_requests_at_once_are_all_answered(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("asked", |user, _, _| user == "alice").unwrap();
    auth.limit_callbacks(4096, std::time::Duration::from_secs(600)).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let secret = password("a");
    for n in 0..1000 {
        let mut request = match n % 4 {
            0 => good(),
            1 => zap::request("asked", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]),
            2 => zap::request("asked", "127.0.0.1", "PLAIN", &[b"mallory", secret.as_bytes()]),
            _ => zap::request("d", "127.0.0.1", "BOGUS", &[]),
        };
        request[1] = n.to_string().into_bytes();
        asker.ask(&request);
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let reply = asker.reply();
        let id: usize = std::str::from_utf8(&reply[1]).unwrap().parse().unwrap();
        assert_eq!(zap::status_of(&reply), if id % 4 < 2 { 200 } else { 400 }, "{id}");
        assert!(seen.insert(id), "{id} was answered twice");
    }
    asker.assert_no_reply();
}
