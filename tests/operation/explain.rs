//! Explanations of decisions: always the same result as the decision itself, and nothing is recorded.

use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, MatchedDomain, PublicKey};

use crate::harness::log::password;

fn authenticator() -> Authenticator {
    let auth = Authenticator::new();
    auth.allow(["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"]).unwrap();
    auth.deny(["10.0.0.66"]).unwrap();
    auth.configure_plain("shop", [("alice", password("right"))]).unwrap();
    auth.configure_plain_callback("*", |_, _, _| true).unwrap();
    auth.configure_curve("*", CURVE_ALLOW_ANY).unwrap();
    auth.configure_curve_keys("lab", [PublicKey::from([7; 32])]).unwrap();
    auth
}

#[test]
fn each_rule_is_named() {
    let auth = authenticator();
    let right = password("right");
    let key = [7; 32];
    let cases: [(&[&[u8]], &str); 9] = [
        (
            &[b"shop", b"10.1.2.3", b"", b"PLAIN", b"alice", right.as_bytes()],
            "200: OK (allow 10.1.0.0/16; PLAIN in domain \"shop\", by its own source: a table of users)",
        ),
        (
            &[b"shop", b"10.0.0.66", b"", b"PLAIN", b"alice", right.as_bytes()],
            "400: address denied (deny 10.0.0.66/32; PLAIN in domain \"shop\", by its own source: a table of users)",
        ),
        (
            &[b"bar", b"10.0.0.1", b"", b"PLAIN", b"alice", b"x"],
            "a callback or a password hash would decide; neither is run here (allow 10.0.0.0/8; PLAIN in domain \"bar\", by \"*\": a callback)",
        ),
        (
            &[b"lab", b"fd00::1", b"", b"CURVE", &key],
            "200: OK (allow fd00::/8; CURVE in domain \"lab\", by its own source: a set of keys)",
        ),
        (
            &[b"lab", b"fd00::1", b"", b"CURVE", &[8; 32]],
            "400: unknown key (allow fd00::/8; CURVE in domain \"lab\", by its own source: a set of keys)",
        ),
        (
            &[b"", b"10.0.0.1", b"", b"CURVE", &[8; 32]],
            "200: OK (allow 10.0.0.0/8; CURVE in domain \"\", by \"*\": allow-any)",
        ),
        (
            &[b"", b"192.168.0.1", b"", b"NULL"],
            "400: address not allowed (no address rule covers it; NULL in domain \"\")",
        ),
        (
            &[b"", b"10.0.0.1", b"", b"GSSAPI", b"alice"],
            "400: mechanism not configured for this domain (allow 10.0.0.0/8; GSSAPI in domain \"\")",
        ),
        (&[b"", b"10.0.0.1", b"", b"NULL", b"?"], "400: malformed request: wrong number of credentials frames"),
    ];
    for (request, expected) in cases {
        let frames = [&[&b"1.0"[..], b"1"], request].concat();
        assert_eq!(auth.explain(&frames).unwrap().to_string(), expected);
    }
    assert!(auth.explain(&["1.0"]).is_none());
}

#[test]
fn it_agrees_with_the_decision_and_leaves_no_trace() {
    let auth = authenticator();
    let before = auth.counters();
    let events = auth.events(10);
    for domain in ["", "shop", "lab", "*"] {
        for address in ["10.0.0.1", "10.0.0.66", "192.168.0.1", "nowhere"] {
            for credentials in
                [&["NULL"][..], &["PLAIN", "alice", "x"], &["GSSAPI", "p"], &["WHAT"], &["CURVE", "short"]]
            {
                let frames = [&["1.0", "1", domain, address, ""], credentials].concat();
                let explained = auth.explain(&frames).unwrap();
                assert_eq!((auth.counters(), events.try_next()), (before, None), "no trace");
                if let Some(status) = explained.status {
                    let reply = Authenticator::clone(&auth);
                    let _ = &reply;
                    let shadow = authenticator();
                    let answer = shadow.handle_zap_message(&frames).unwrap();
                    assert_eq!(answer[2], status.to_string().as_bytes(), "{frames:?}");
                    assert_eq!(answer[3], explained.reason.as_bytes(), "{frames:?}");
                }
            }
        }
    }
}

#[test]
fn the_parts_can_be_matched() {
    let why = authenticator().explain(&["1.0", "1", "shop", "10.0.0.1", "", "PLAIN", "bob", "x"]).unwrap();
    assert_eq!((why.status, why.domain), (Some(400), Some(MatchedDomain::Exact)));
    assert_eq!((why.source, why.address_rule.as_deref()), (Some("a table of users"), Some("allow 10.0.0.0/8")));
}
