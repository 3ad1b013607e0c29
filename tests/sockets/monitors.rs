//! What a monitored socket reports about its handshakes, and how monitoring changes a server.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Handshake, MonitoredSocket, SocketExt, Verdict};

use crate::harness::fixture::{Fixture, MECHANISMS, Mechanism};
use crate::harness::log::password;
use crate::harness::sockets::{Client, Server, Transport, socket};
use crate::harness::{DEADLINE, domain, process};

#[test]
fn a_socket_of_another_context_is_refused() {
    if process::is_child() {
        let (one, other) = (zmq::Context::new(), zmq::Context::new());
        let error = MonitoredSocket::new(&one, socket(&other, zmq::REP)).map(drop).expect_err("another context's");
        assert!(error.to_string().contains("another context"), "{error}");
        // One with connections, so that there are events at once.
        let (server, client) = (socket(&other, zmq::REP), socket(&other, zmq::REQ));
        server.bind("tcp://127.0.0.1:*").unwrap();
        let endpoint = server.endpoint().unwrap();
        client.connect(&endpoint).unwrap();
        assert!(MonitoredSocket::new(&one, client).is_err());
        // The other context still works.
        let client = socket(&other, zmq::REQ);
        client.connect(&endpoint).unwrap();
        client.send("ping", 0).unwrap();
        assert_eq!(server.recv_bytes(0).unwrap(), b"ping");
        return;
    }
    let name = "monitors::a_socket_of_another_context_is_refused";
    let ended = process::run_again(name, &[], DEADLINE);
    assert!(ended.status.is_some_and(|status| status.success()), "{ended:?}");
}

#[test]
fn each_endpoint_has_its_own_outcome() {
    let (context, auth, secret) = (zmq::Context::new(), Authenticator::new(), password("a"));
    let (good, bad) = (domain("good"), domain("bad"));
    auth.configure_plain(&good, [("alice", secret.as_str())]).unwrap();
    let _running = auth.start(&context).unwrap();
    let servers = [&good, &bad]
        .map(|domain| Server::bind(&context, zmq::PULL, Transport::Tcp, |socket| socket.plain_server(domain)));
    let mut client = socket(&context, zmq::PUSH);
    client.plain_client("alice", &secret).unwrap();
    let mut client = MonitoredSocket::new(&context, client).unwrap();
    for server in &servers {
        client.connect(server.endpoint()).unwrap();
    }
    let events = [(); 2].map(|()| client.wait_for_event(DEADLINE).unwrap().expect("an outcome"));
    let outcomes: HashMap<_, _> = events.into_iter().map(|event| (event.endpoint, event.handshake)).collect();
    assert_eq!(outcomes[servers[0].endpoint()], Handshake::Authenticated);
    assert_eq!(outcomes[servers[1].endpoint()], Handshake::Denied(400));
}

/// An unreachable endpoint hides no other, and isn't hidden.
#[test]
fn an_endpoint_that_cannot_be_reached_is_told_from_one_that_can() {
    let context = zmq::Context::new();
    let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::bind(&context, zmq::PULL, Transport::Tcp, |_| Ok::<(), zmq::Error>(()));
    let mut client = MonitoredSocket::new(&context, socket(&context, zmq::PUSH)).unwrap();
    client.connect(server.endpoint()).unwrap();
    client.connect(&format!("tcp://{unbound}")).unwrap();
    let mut outcomes = HashMap::new();
    while outcomes.len() < 2 {
        let event = client.wait_for_event(DEADLINE).unwrap().expect("an outcome");
        outcomes.insert(event.endpoint, event.handshake);
    }
    assert_eq!(outcomes[server.endpoint()], Handshake::Authenticated);
    assert_eq!(outcomes[&format!("tcp://{unbound}")], Handshake::Unreachable);
}

#[test]
fn a_failed_handshake_is_not_blamed_on_the_keys_alone() {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("pause"));
    auth.configure_plain_callback(&domain, |_, _, _| Verdict::Retry).unwrap();
    let _running = auth.start(&context).unwrap();
    let server = Server::new(&context, |socket| {
        socket.set_handshake_ivl(1_000).unwrap();
        socket.plain_server(&domain)
    });
    let mut paused = Client::plain(&context, server.endpoint(), "alice", &password("a"));
    let handshake = paused.wait_for_handshake(DEADLINE).unwrap().unwrap();
    assert_eq!(handshake, Handshake::Failed(None));
    let text = handshake.to_string();
    for cause in ["300", "no ZAP handler", "key", "mechanism", "socket type"] {
        assert!(text.contains(cause), "{cause} isn't in {text:?}");
    }
    // A protocol error has its number only where it is asked for.
    let mut other = Client::null(&context, server.endpoint());
    loop {
        let handshake = other.wait_for_handshake(DEADLINE).unwrap().unwrap();
        assert!(!format!("{handshake:?}").contains(|c: char| c.is_ascii_digit()), "{handshake:?}");
        match handshake {
            Handshake::Failed(Some(error)) => break assert!(error.code() >= 0x1000_0000),
            handshake => assert_eq!(handshake, Handshake::Failed(None)),
        }
    }
}

/// What a client sees while no handler runs: the table in the docs of `MonitoredSocket`.
#[test]
fn without_a_handler_a_monitored_server_stalls_its_clients() {
    const INTERVAL: Duration = Duration::from_secs(6);
    let cases = MECHANISMS.into_iter().flat_map(|mechanism| [(mechanism, false), (mechanism, true)]);
    let measured: Vec<_> = cases
        .map(|(mechanism, monitored)| {
            thread::spawn(move || {
                let (context, fixture) = (zmq::Context::new(), Fixture::new(mechanism));
                let mut server = socket(&context, zmq::REP);
                server.set_handshake_ivl(INTERVAL.as_millis() as i32).unwrap();
                fixture.set_up_server(&mut server).unwrap();
                let (monitored_server, plain_server);
                let server: &zmq::Socket = if monitored {
                    monitored_server = MonitoredSocket::new(&context, server).unwrap();
                    &monitored_server
                } else {
                    plain_server = server;
                    &plain_server
                };
                server.bind("tcp://127.0.0.1:*").unwrap();
                let begun = Instant::now();
                let mut client = fixture.client(&context, &server.endpoint().unwrap());
                client.expect(Handshake::Failed(None));
                (mechanism, monitored, begun.elapsed())
            })
        })
        .collect();
    for (mechanism, monitored, took) in measured.into_iter().map(|case| case.join().unwrap()) {
        println!("{mechanism:?}, {}monitored: {took:?}", if monitored { "" } else { "not " });
        let stalls = monitored || mechanism == Mechanism::Null;
        assert_eq!(took >= INTERVAL * 9 / 10, stalls, "{mechanism:?}, monitored: {monitored}, took {took:?}");
    }
}
