//! The choice of the source: that of exactly the domain, else that of `"*"`, for each mechanism separately.

use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, Error, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{keys, password, stranger};
use crate::harness::sockets::{Client, Server};
use crate::harness::zap;

behaviours! {
    two_servers_of_two_domains_have_their_own_users,
    the_star_covers_a_server_whose_domain_has_no_source,
}

fn two_servers_of_two_domains_have_their_own_users(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("left", [("alice", password("a"))]).unwrap();
    auth.configure_plain("right", [("bob", password("b"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let left = Server::new(&context, |socket| socket.plain_server("left"));
    let right = Server::new(&context, |socket| socket.plain_server("right"));
    Client::plain(&context, left.endpoint(), "alice", &password("a")).round_trip(&left);
    Client::plain(&context, right.endpoint(), "bob", &password("b")).round_trip(&right);
    Client::plain(&context, left.endpoint(), "bob", &password("b")).expect_denied();
    Client::plain(&context, right.endpoint(), "alice", &password("a")).expect_denied();
}

fn the_star_covers_a_server_whose_domain_has_no_source(front_end: FrontEnd) {
    let (context, auth, server_keys) = (zmq::Context::new(), Authenticator::new(), keys());
    auth.configure_curve("*", CURVE_ALLOW_ANY).unwrap();
    auth.configure_curve_keys("vault", []).unwrap();
    let _running = front_end.start(&auth, &context);
    let lab = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    let star = Server::new(&context, |socket| socket.curve_server(&server_keys, "*"));
    let vault = Server::new(&context, |socket| socket.curve_server(&server_keys, "vault"));
    for server in [&lab, &star] {
        Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).round_trip(server);
    }
    Client::curve(&context, vault.endpoint(), &keys(), &server_keys.public).expect_denied();
}

#[test]
fn the_exact_domain_comes_before_the_star() {
    let auth = Authenticator::new();
    let (a, b) = (password("a"), password("b"));
    auth.configure_plain("*", [("alice", a.as_str())]).unwrap();
    auth.configure_plain("shop", [("alice", b.as_str())]).unwrap();
    let ask = |domain: &str, secret: &str| zap::plain(&auth, domain, b"alice", secret.as_bytes());
    assert_eq!((ask("shop", &b), ask("shop", &a)), (200, 400), "no second try with the star's table");
    assert_eq!((ask("else", &b), ask("else", &a)), (400, 200));
}

#[test]
fn each_mechanism_is_looked_up_separately() {
    let (auth, key) = (Authenticator::new(), stranger());
    let secret = password("a");
    auth.configure_plain("*", [("alice", secret.as_str())]).unwrap();
    auth.configure_curve_keys("lab", [key]).unwrap();
    assert_eq!(zap::plain(&auth, "lab", b"alice", secret.as_bytes()), 200, "lab has no PLAIN source of its own");
    assert_eq!(zap::curve(&auth, "lab", &key), 200);
    assert_eq!(zap::curve(&auth, "else", &key), 400);
    let gssapi = |domain: &str| zap::status(&auth, &zap::request(domain, "127.0.0.1", "GSSAPI", &[b"alice@R"]));
    assert_eq!(gssapi("lab"), 400);
    auth.configure_gssapi("*").unwrap();
    assert_eq!(gssapi("lab"), 200);
}

#[test]
fn only_the_star_covers_the_empty_domain() {
    let auth = Authenticator::new();
    let secret = password("a");
    let ask = || zap::plain(&auth, "", b"alice", secret.as_bytes());
    auth.configure_plain("shop", [("alice", secret.as_str())]).unwrap();
    assert_eq!(ask(), 400);
    auth.configure_plain("*", [("alice", secret.as_str())]).unwrap();
    assert_eq!(ask(), 200);
    assert!(auth.remove_domain("*"));
    assert_eq!(ask(), 400);
}

#[test]
fn domains_are_compared_byte_for_byte() {
    let auth = Authenticator::new();
    let secret = password("a");
    let ask = |domain: &[u8]| {
        let mut request = zap::request("", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]);
        request[2] = domain.to_vec();
        zap::status(&auth, &request)
    };
    auth.configure_plain(" shop ", [("alice", secret.as_str())]).unwrap();
    auth.configure_plain("caf\u{e9}", [("alice", secret.as_str())]).unwrap();
    auth.configure_plain("\u{fffd}", [("alice", secret.as_str())]).unwrap();
    assert_eq!((ask(b" shop "), ask("caf\u{e9}".as_bytes()), ask("\u{fffd}".as_bytes())), (200, 200, 200));
    let others = ["shop", " shop", "shop ", " SHOP ", " shop \0", "cafe\u{301}", "", "*"];
    for other in others {
        assert_eq!(ask(other.as_bytes()), 400, "{other:?}");
    }
    assert_eq!(ask(b"\xff"), 400);
}

#[test]
fn address_rules_are_those_of_every_domain() {
    let (auth, key, secret) = (Authenticator::new(), stranger(), password("a"));
    for domain in ["left", "right"] {
        auth.configure_plain(domain, [("alice", secret.as_str())]).unwrap();
        auth.configure_curve_keys(domain, [key]).unwrap();
    }
    auth.deny(["127.0.0.1"]).unwrap();
    // Created when a rule already existed.
    auth.configure_curve("later", CURVE_ALLOW_ANY).unwrap();
    let ask = |domain| (zap::plain(&auth, domain, b"alice", secret.as_bytes()), zap::curve(&auth, domain, &key));
    assert_eq!((ask("left"), ask("right"), ask("later")), ((400, 400), (400, 400), (400, 400)));
    for domain in ["left", "none", ""] {
        assert_eq!((zap::null(&auth, domain, "127.0.0.1"), zap::null(&auth, domain, "127.0.0.2")), (400, 200));
    }
    assert!(auth.remove_domain("right"));
    assert_eq!(ask("left"), (400, 400), "a domain takes no address rule along");
    auth.set_addresses([""; 0], [""; 0]).unwrap();
    assert_eq!((ask("left"), ask("right"), ask("later")), ((200, 200), (400, 400), (400, 200)));
}

#[test]
fn a_domain_has_1_to_255_bytes() {
    let auth = Authenticator::new();
    let (key, secret) = (stranger(), password("a"));
    let all = |domain: &str| {
        [
            auth.configure_plain(domain, [("alice", secret.as_str())]),
            auth.configure_plain_callback(domain, |_, _, _| true),
            auth.configure_curve(domain, CURVE_ALLOW_ANY),
            auth.configure_curve_keys(domain, [key]),
            auth.configure_curve_callback(domain, |_, _| true),
            auth.configure_gssapi(domain),
            auth.add_curve_key(domain, key),
            auth.remove_curve_key(domain, &key).map(drop),
        ]
    };
    let (longest, too_long) = ("d".repeat(255), "\u{e9}".repeat(128));
    for domain in ["", &too_long] {
        for (n, result) in all(domain).into_iter().enumerate() {
            assert!(
                matches!(result, Err(Error::Domain { length }) if length == domain.len()),
                "call {n}, {} bytes",
                domain.len()
            );
        }
    }
    assert_eq!(zap::plain(&auth, "", b"alice", secret.as_bytes()), 400);
    assert_eq!(zap::plain(&auth, &too_long, b"alice", secret.as_bytes()), 400);
    // The last two find a callback, which has no keys.
    assert!(all(&longest)[..6].iter().all(Result::is_ok));
    auth.configure_plain(&longest, [("alice", secret.as_str())]).unwrap();
    assert_eq!(zap::plain(&auth, &longest, b"alice", secret.as_bytes()), 200);
    assert!(auth.configure_plain(" ", [("alice", secret.as_str())]).is_ok(), "a blank is a byte");
}

#[test]
fn a_domain_that_is_removed_is_covered_by_the_star_again() {
    let auth = Authenticator::new();
    let (a, b, key) = (password("a"), password("b"), stranger());
    auth.configure_plain("*", [("alice", a.as_str())]).unwrap();
    auth.configure_plain("shop", [("alice", b.as_str())]).unwrap();
    auth.configure_curve_keys("shop", [key]).unwrap();
    assert!(!auth.remove_domain("sho"));
    assert!(auth.remove_domain("shop"));
    assert!(!auth.remove_domain("shop"), "it is gone");
    assert_eq!(zap::plain(&auth, "shop", b"alice", a.as_bytes()), 200);
    assert_eq!(zap::plain(&auth, "shop", b"alice", b.as_bytes()), 400);
    assert_eq!(zap::curve(&auth, "shop", &key), 400);
}

#[test]
fn the_latest_source_of_a_domain_replaces_the_one_before() {
    let auth = Authenticator::new();
    let (secret, key) = (password("a"), stranger());
    let plain = || zap::plain(&auth, "d", b"alice", secret.as_bytes());
    auth.configure_plain("d", [("alice", secret.as_str())]).unwrap();
    auth.configure_plain_callback("d", |_, _, _| false).unwrap();
    assert_eq!(plain(), 400);
    auth.configure_plain("d", [("alice", secret.as_str())]).unwrap();
    assert_eq!(plain(), 200);
    auth.configure_plain("d", [("bob", secret.as_str())]).unwrap();
    assert_eq!(plain(), 400, "replaced, not added to");
    auth.configure_curve("d", CURVE_ALLOW_ANY).unwrap();
    assert_eq!(zap::curve(&auth, "d", &key), 200);
    auth.configure_curve_keys("d", [stranger()]).unwrap();
    assert_eq!(zap::curve(&auth, "d", &key), 400);
    auth.configure_curve_callback("d", |_, _| true).unwrap();
    assert_eq!(zap::curve(&auth, "d", &key), 200);
}
