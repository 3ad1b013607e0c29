//! Roles of sockets: where libzmq fails open by itself, and how the calls of `SocketExt` prevent it.

use std::os::unix::process::ExitStatusExt;

use zmq_auth::{Authenticator, Error, Handshake, KeyPair, SocketExt, ThreadAuthenticator};

use crate::harness::log::{SENTINEL, keys, password};
use crate::harness::sockets::{Client, Server, Transport, socket};
use crate::harness::zap_domain::enforce_domain;
use crate::harness::{DEADLINE, process};

/// A CURVE server without the crate's help.
fn raw_curve(socket: &mut zmq::Socket, keys: &KeyPair) -> zmq::Result<()> {
    socket.set_curve_publickey(keys.public.as_bytes())?;
    socket.set_curve_secretkey(keys.secret.as_bytes())?;
    socket.set_curve_server(true)
}

/// A handler that accepts nobody.
fn denies_all(context: &zmq::Context) -> ThreadAuthenticator {
    let auth = Authenticator::new();
    auth.deny(["0.0.0.0/0", "::/0"]).unwrap();
    auth.start(context).unwrap()
}

/// The server refuses because there is no handler; the client isn't told why.
#[track_caller]
fn expect_refused_without_a_handler(mut client: Client, server: &mut Server) {
    server.expect(Handshake::Failed(None));
    client.assert_told_nothing();
    server.assert_nothing_received();
}

#[test]
fn curve_without_a_handler_is_open_unless_the_domain_is_enforced() {
    let (context, server_keys) = (zmq::Context::new(), keys());
    let connect = |server: &Server| Client::curve(&context, server.endpoint(), &keys(), &server_keys.public);
    // Unknown clients, which libzmq accepts: without a handler, and after one was stopped.
    for stopped in [false, true] {
        if stopped {
            denies_all(&context).stop().unwrap();
        }
        for domain in [None, Some("lab")] {
            let open = Server::new(&context, |socket| {
                domain.map_or(Ok(()), |domain| socket.set_zap_domain(domain))?;
                raw_curve(socket, &server_keys)
            });
            connect(&open).round_trip(&open);
        }
        let mut shut = Server::new(&context, |socket| {
            socket.set_zap_domain("lab")?;
            enforce_domain(socket);
            raw_curve(socket, &server_keys)
        });
        expect_refused_without_a_handler(connect(&shut), &mut shut);
        let mut guarded = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
        expect_refused_without_a_handler(connect(&guarded), &mut guarded);
    }
}

#[test]
fn curve_with_an_enforced_empty_domain_never_asks() {
    let (context, server_keys) = (zmq::Context::new(), keys());
    let handler = denies_all(&context);
    let open = Server::new(&context, |socket| {
        enforce_domain(socket);
        raw_curve(socket, &server_keys)
    });
    Client::curve(&context, open.endpoint(), &keys(), &server_keys.public).round_trip(&open);
    assert_eq!(handler.counters(), Default::default());

    let mut refused = socket(&context, zmq::REP);
    assert!(matches!(refused.curve_server(&server_keys, ""), Err(Error::Domain { length: 0 })));
    let guarded = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    Client::curve(&context, guarded.endpoint(), &keys(), &server_keys.public).expect_denied();
}

#[test]
fn null_without_a_domain_never_asks() {
    let context = zmq::Context::new();
    let handler = denies_all(&context);
    let open = Server::new(&context, |_| Ok::<(), Error>(()));
    Client::null(&context, open.endpoint()).round_trip(&open);
    assert_eq!(handler.counters(), Default::default());

    let mut refused = socket(&context, zmq::REP);
    assert!(matches!(refused.null_server(""), Err(Error::Domain { length: 0 })));
    let guarded = Server::new(&context, |socket| socket.null_server("d"));
    Client::null(&context, guarded.endpoint()).expect_denied();
}

#[test]
fn null_without_a_handler_is_open_unless_the_domain_is_enforced() {
    let context = zmq::Context::new();
    let open = Server::new(&context, |socket| socket.set_zap_domain("d"));
    Client::null(&context, open.endpoint()).round_trip(&open);
    let mut guarded = Server::new(&context, |socket| socket.null_server("d"));
    expect_refused_without_a_handler(Client::null(&context, guarded.endpoint()), &mut guarded);
}

#[test]
fn plain_without_a_handler_refuses() {
    let context = zmq::Context::new();
    for domain in [None, Some("d")] {
        let mut shut = Server::new(&context, |socket| {
            domain.map_or(Ok(()), |domain| socket.set_zap_domain(domain))?;
            socket.set_plain_server(true)
        });
        expect_refused_without_a_handler(Client::plain(&context, shut.endpoint(), "alice", &password("a")), &mut shut);
    }
    let mut guarded = Server::new(&context, |socket| socket.plain_server("d"));
    expect_refused_without_a_handler(
        Client::plain(&context, guarded.endpoint(), "alice", &password("a")),
        &mut guarded,
    );
}

#[test]
fn plain_with_an_enforced_empty_domain_ends_the_process() {
    if process::is_child() {
        let context = zmq::Context::new();
        let _handler = denies_all(&context);
        let server = Server::new(&context, |socket| {
            enforce_domain(socket);
            socket.set_plain_server(true)
        });
        Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
        return;
    }
    let ended = process::run_again("roles::plain_with_an_enforced_empty_domain_ends_the_process", &[], DEADLINE);
    assert_eq!(ended.status.and_then(|status| status.signal()), Some(6), "{ended:?}");
    // Can't be reached here: an empty domain is refused before anything is enforced.
    let context = zmq::Context::new();
    let mut refused = socket(&context, zmq::REP);
    assert!(matches!(refused.plain_server(""), Err(Error::Domain { length: 0 })));
    assert_eq!(refused.get_mechanism(), Ok(zmq::Mechanism::ZMQ_NULL));
}

#[test]
fn inproc_has_no_security_whatever_is_set() {
    let (context, server_keys) = (zmq::Context::new(), keys());
    let handler = denies_all(&context);
    for (n, guarded) in [false, true].into_iter().enumerate() {
        let mut server = socket(&context, zmq::REP);
        if guarded {
            server.curve_server(&server_keys, "lab").unwrap();
        } else {
            raw_curve(&mut server, &server_keys).unwrap();
        }
        let endpoint = format!("inproc://open{n}");
        server.bind(&endpoint).unwrap();
        let client = socket(&context, zmq::REQ);
        client.connect(&endpoint).unwrap();
        client.send("ping", 0).unwrap();
        let received = server.recv_with_sender(0).unwrap();
        assert_eq!(received.sender().user_id(), None, "nobody was asked who that is");
    }
    assert_eq!(handler.counters(), Default::default());
}

#[test]
fn a_role_that_is_set_after_bind_does_not_apply_and_is_refused() {
    let (context, server_keys) = (zmq::Context::new(), keys());
    let _handler = denies_all(&context);
    // libzmq by itself: a CURVE server that accepts a NULL client.
    let mut open = Server::new(&context, |_| Ok::<(), Error>(()));
    raw_curve(&mut open, &server_keys).unwrap();
    Client::null(&context, open.endpoint()).round_trip(&open);

    for transport in [Transport::Tcp, Transport::Tcp6, Transport::Ipc] {
        let mut bound = Server::bind(&context, zmq::REP, transport, |_| Ok::<(), Error>(()));
        assert_all_refused(&mut bound);
        let mut connected = Client::null(&context, bound.endpoint());
        assert_all_refused(&mut connected);
    }
    let mut bound = socket(&context, zmq::REP);
    bound.bind("inproc://bound").unwrap();
    assert_all_refused(&mut bound);
    for endpoint in ["inproc://bound", "inproc://nobody", "tcp://127.0.0.1:1", "ipc:///nowhere/at/all"] {
        let mut connected = socket(&context, zmq::REQ);
        connected.connect(endpoint).unwrap();
        assert_all_refused(&mut connected);
    }
}

/// Every role is refused, and the socket is unchanged.
#[track_caller]
fn assert_all_refused(socket: &mut zmq::Socket) {
    let pair = keys();
    let results = [
        socket.curve_server(&pair, "d"),
        socket.curve_client(&pair, &pair.public),
        socket.plain_server("d"),
        socket.plain_client("alice", &password("a")),
        socket.null_server("d"),
    ];
    for (n, result) in results.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::AlreadyBound)), "call {n}: {result:?}");
    }
    assert_eq!(socket.get_mechanism(), Ok(zmq::Mechanism::ZMQ_NULL));
    assert_eq!(socket.get_zap_domain(), Ok(Ok(String::new())));
}

/// The readable part of a socket's security options.
fn state(socket: &zmq::Socket) -> (zmq::Mechanism, String, bool, bool, Vec<u8>) {
    (
        socket.get_mechanism().unwrap(),
        socket.get_zap_domain().unwrap().unwrap(),
        socket.is_curve_server().unwrap(),
        socket.is_plain_server().unwrap(),
        socket.get_curve_publickey().unwrap(),
    )
}

#[test]
fn a_call_that_fails_has_changed_nothing() {
    let context = zmq::Context::new();
    let (pair, other) = (keys(), keys());
    let mixed = KeyPair { public: pair.public, secret: other.secret.clone() };
    let long = "d".repeat(256);
    let secret = password("a");
    type SetUp<'a> = Box<dyn Fn(&mut zmq::Socket) -> zmq_auth::Result<()> + 'a>;
    let roles: [SetUp; 6] = [
        Box::new(|_| Ok(())),
        Box::new(|socket| socket.null_server("null")),
        Box::new(|socket| socket.plain_server("plain")),
        Box::new(|socket| socket.curve_server(&pair, "curve")),
        Box::new(|socket| socket.plain_client("alice", &secret)),
        Box::new(|socket| socket.curve_client(&pair, &other.public)),
    ];
    let failing: [SetUp; 13] = [
        Box::new(|socket| socket.curve_server(&mixed, "new")),
        Box::new(|socket| socket.curve_server(&other, "")),
        Box::new(|socket| socket.curve_server(&other, &long)),
        Box::new(|socket| socket.curve_client(&mixed, &other.public)),
        Box::new(|socket| socket.plain_server("")),
        Box::new(|socket| socket.plain_server(&long)),
        Box::new(|socket| socket.null_server("")),
        Box::new(|socket| socket.null_server(&long)),
        Box::new(|socket| socket.plain_client("", &secret)),
        Box::new(|socket| socket.plain_client("alice", "")),
        Box::new(|socket| socket.plain_client(&long, &secret)),
        Box::new(|socket| socket.plain_client("alice", &password(&long))),
        Box::new(|socket| socket.curve_server(&KeyPair { public: other.public, secret: [0; 32].into() }, "new")),
    ];
    for (r, role) in roles.iter().enumerate() {
        for (f, fails) in failing.iter().enumerate() {
            let mut socket = socket(&context, zmq::REP);
            role(&mut socket).unwrap();
            let before = state(&socket);
            let error = fails(&mut socket).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(SENTINEL));
            assert_eq!(state(&socket), before, "role {r}, call {f}");
        }
    }
}

#[test]
fn halves_that_do_not_match_are_refused() {
    let context = zmq::Context::new();
    let (pair, other) = (keys(), keys());
    let mixed = KeyPair { public: pair.public, secret: other.secret };
    let mut socket = socket(&context, zmq::REP);
    assert!(matches!(socket.curve_server(&mixed, "d"), Err(Error::KeyMismatch)));
    assert!(matches!(socket.curve_client(&mixed, &pair.public), Err(Error::KeyMismatch)));
    socket.curve_server(&pair, "d").unwrap();
}

#[test]
fn the_latest_role_is_the_one_that_holds() {
    let (context, server_keys, client_keys) = (zmq::Context::new(), keys(), keys());
    let (secret, auth) = (password("a"), Authenticator::new());
    auth.configure_plain("plain", [("alice", secret.as_str())]).unwrap();
    auth.configure_curve_keys("curve", [client_keys.public]).unwrap();
    let _running = auth.start(&context).unwrap();
    // Every role before every other.
    let wear = |socket: &mut zmq::Socket, role: usize| -> zmq_auth::Result<()> {
        match role {
            0 => socket.null_server("null"),
            1 => socket.plain_server("plain"),
            2 => socket.curve_server(&server_keys, "curve"),
            3 => socket.plain_client("alice", &secret),
            4 => socket.curve_client(&client_keys, &server_keys.public),
            _ => Ok(()),
        }
    };
    for before in 0..5 {
        for (server_role, client_role) in [(0, 5), (1, 3), (2, 4)] {
            let server = Server::new(&context, |socket| {
                wear(socket, before)?;
                wear(socket, server_role)
            });
            let allowed = auth.counters().allowed;
            let mut client = Client::new(&context, server.endpoint(), |socket| wear(socket, client_role));
            client.round_trip(&server);
            assert_eq!(
                auth.counters().allowed,
                allowed + 1,
                "role {server_role} after {before}: the handler was asked"
            );
            if client_role != 5 {
                Client::new(&context, server.endpoint(), |socket| {
                    wear(socket, before)?;
                    wear(socket, client_role)
                })
                .round_trip(&server);
                Client::null(&context, server.endpoint()).expect_mismatch();
            }
        }
    }
}

#[test]
fn plain_clients_have_1_to_255_bytes_each() {
    let context = zmq::Context::new();
    let mut socket = socket(&context, zmq::REQ);
    let fits = password(&"x".repeat(255 - password("").len()));
    let long = format!("{fits}x");
    for (name, secret, what) in [
        ("", fits.as_str(), "user name"),
        ("alice", "", "password"),
        (&long, &fits, "user name"),
        ("alice", &long, "password"),
    ] {
        let error = socket.plain_client(name, secret).unwrap_err();
        assert!(matches!(error, Error::PlainCredentials { what: told, .. } if told == what), "{error}");
    }
    socket.plain_client("a", &fits).unwrap();
    socket.plain_client(&fits, "a").unwrap();
}

#[test]
fn a_domain_with_a_nul_is_not_the_one_before_it() {
    let (context, server_keys, client_keys) = (zmq::Context::new(), keys(), keys());
    let auth = Authenticator::new();
    auth.configure_curve_keys("lab", [client_keys.public]).unwrap();
    let _running = auth.start(&context).unwrap();
    let mut server = socket(&context, zmq::REP);
    if server.curve_server(&server_keys, "lab\0x").is_ok() {
        server.bind("tcp://127.0.0.1:*").unwrap();
        let endpoint = server.get_last_endpoint().unwrap().unwrap();
        Client::curve(&context, &endpoint, &client_keys, &server_keys.public).expect_denied();
    }
}
