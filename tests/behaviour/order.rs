//! The order of checks: version, credentials frames, address, mechanism. Each row breaks one thing more than the next.

use zmq_auth::{Authenticator, CURVE_ALLOW_ANY};

use crate::harness::log::{password, stranger};
use crate::harness::zap;

/// Everything is configured; only 10.0.0.0/8 is allowed.
fn policy() -> Authenticator {
    let auth = Authenticator::new();
    auth.allow(["10.0.0.0/8"]).unwrap();
    auth.configure_plain("*", [("alice", password("a"))]).unwrap();
    auth.configure_curve("*", CURVE_ALLOW_ANY).unwrap();
    auth.configure_gssapi("*").unwrap();
    auth
}

/// The status, and the text, which shows what was checked.
fn answer(auth: &Authenticator, frames: &[&[u8]]) -> (u16, String) {
    let reply = auth.handle_zap_message(frames).unwrap();
    assert_eq!(reply[1], frames[1], "the request's id comes back");
    (zap::status_of(&reply), String::from_utf8(reply[3].clone()).unwrap())
}

#[test]
fn the_first_thing_that_is_wrong_decides() {
    let auth = policy();
    let (good, bad): (&[u8], &[u8]) = (b"10.1.2.3", b"192.0.2.1");
    let key = stranger();
    let secret = password("a");
    let (key, secret) = (&key.as_bytes()[..], secret.as_bytes());
    let rows: [(&[&[u8]], u16, &str); 18] = [
        (&[b"1.1", b"1", b"d", bad, b"", b"BOGUS", b"x", b"y"], 400, "version"),
        (&[b"", b"1", b"d", good, b"", b"NULL"], 400, "version"),
        (&[b"1.0\0", b"1", b"d", good, b"", b"NULL"], 400, "version"),
        (&[b"2.0", b"1"], 400, "version"),
        (&[b"1.0", b"1"], 400, "not enough frames"),
        (&[b"1.0", b"1", b"d", good, b""], 400, "not enough frames"),
        (&[b"1.0", b"1", b"d", bad, b"", b"PLAIN", b"alice"], 400, "credentials"),
        (&[b"1.0", b"1", b"d", bad, b"", b"CURVE", &key[1..]], 400, "32 bytes"),
        (&[b"1.0", b"1", b"d", bad, b"", b"NULL", b""], 400, "credentials"),
        (&[b"1.0", b"1", b"d", bad, b"", b"GSSAPI"], 400, "credentials"),
        (&[b"1.0", b"1", b"d", bad, b"", b"BOGUS"], 400, "address"),
        (&[b"1.0", b"1", b"d", bad, b"", b"PLAIN", b"alice", secret], 400, "address"),
        (&[b"1.0", b"1", b"d", good, b"", b"BOGUS"], 400, "unknown mechanism"),
        (&[b"1.0", b"1", b"d", good, b"", b"null"], 400, "unknown mechanism"),
        (&[b"1.0", b"1", b"d", good, b"", b"NULL"], 200, "OK"),
        (&[b"1.0", b"1", b"d", good, b"", b"PLAIN", b"alice", secret], 200, "OK"),
        (&[b"1.0", b"1", b"d", good, b"", b"CURVE", key], 200, "OK"),
        (&[b"1.0", b"1", b"d", good, b"", b"GSSAPI", b"alice@REALM"], 200, "OK"),
    ];
    for (frames, status, text) in rows {
        let (code, said) = answer(&auth, frames);
        assert_eq!(code, status, "{text}");
        assert!(said.contains(text), "{said:?} is not about {text:?}");
    }
}

#[test]
fn a_new_policy_accepts_null_and_nothing_else() {
    let (auth, key, secret) = (Authenticator::new(), stranger(), password("a"));
    for domain in ["", "d", "*"] {
        let ask = |mechanism: &str, credentials: &[&[u8]]| {
            zap::status(&auth, &zap::request(domain, "10.0.0.1", mechanism, credentials))
        };
        assert_eq!(ask("NULL", &[]), 200, "{domain:?}");
        assert_eq!(ask("PLAIN", &[b"alice", secret.as_bytes()]), 400, "{domain:?}");
        assert_eq!(ask("PLAIN", &[b"", b""]), 400, "{domain:?}");
        assert_eq!(ask("CURVE", &[key.as_bytes()]), 400, "{domain:?}");
        assert_eq!(ask("GSSAPI", &[b"alice@REALM"]), 400, "{domain:?}");
        assert_eq!(ask("BOGUS", &[]), 400, "{domain:?}");
    }
}

#[test]
fn an_unknown_mechanism_from_an_allowed_address_is_denied() {
    let auth = policy();
    for mechanism in ["", "BOGUS", "null", "NULL ", "PLAIN\0", "Curve"] {
        for credentials in [&[][..], &[&b"x"[..]], &[&b"x"[..], &b"y"[..]]] {
            assert_eq!(
                zap::status(&auth, &zap::request("d", "10.0.0.1", mechanism, credentials)),
                400,
                "{mechanism:?}"
            );
        }
    }
    // Also without any rule.
    assert_eq!(zap::status(&Authenticator::new(), &zap::request("d", "10.0.0.1", "BOGUS", &[])), 400);
}

#[test]
fn the_number_of_credentials_frames_is_exact() {
    let auth = policy();
    let (key, secret) = (stranger(), password("a"));
    let frames: [&[u8]; 3] = [b"alice", secret.as_bytes(), b"more"];
    for n in [0, 1, 3] {
        assert_eq!(zap::status(&auth, &zap::request("d", "10.0.0.1", "PLAIN", &frames[..n])), 400, "{n}");
    }
    for key in [&key.as_bytes()[..31], b"", &[0; 33], key.to_string().as_bytes()] {
        assert_eq!(zap::status(&auth, &zap::request("d", "10.0.0.1", "CURVE", &[key])), 400, "{}", key.len());
    }
    let twice = [&key.as_bytes()[..], key.as_bytes()];
    assert_eq!(zap::status(&auth, &zap::request("d", "10.0.0.1", "CURVE", &twice)), 400);
    assert_eq!(zap::status(&auth, &zap::request("d", "10.0.0.1", "GSSAPI", &[b"a", b"b"])), 400);
}

#[test]
fn fewer_than_two_frames_have_no_answer() {
    let auth = policy();
    assert!(auth.handle_zap_message::<&[u8]>(&[]).is_none());
    assert!(auth.handle_zap_message(&[b"1.0"]).is_none());
    assert_eq!(auth.counters().dropped, 2);
}

#[test]
fn without_gssapi_configured_it_is_denied() {
    let auth = Authenticator::new();
    let ask = || {
        let reply = auth.handle_zap_message(&zap::request("r", "10.0.0.1", "GSSAPI", &[b"alice@REALM"])).unwrap();
        (zap::status_of(&reply), reply[4].clone())
    };
    assert_eq!(ask(), (400, vec![]));
    auth.configure_gssapi("r").unwrap();
    assert_eq!(ask(), (200, b"alice@REALM".to_vec()), "the principal becomes the user id");
}

#[test]
fn any_request_is_answered_without_a_panic() {
    let auth = policy();
    auth.configure_plain_callback("asked", |_, _, _| true).unwrap();
    let odd: [&[u8]; 6] = [b"", b"\0", b"\xff\xfe", b"localhost:", b"::ffff:", &[b'%'; 70_000]];
    for domain in odd {
        for address in odd {
            for mechanism in [&b"NULL"[..], b"PLAIN", b"CURVE", b"GSSAPI", b"\xff"] {
                for credentials in 0..4 {
                    let mut frames = vec![b"1.0", odd[2], domain, address, b"", mechanism];
                    frames.extend([odd[5]; 3].iter().take(credentials));
                    assert_eq!(answer(&auth, &frames).0, 400);
                }
            }
        }
    }
}
