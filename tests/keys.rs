//! Keys and passwords as a program sees them.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::process::Command;

use zmq_auth::zeroize::ZeroizeOnDrop;
use zmq_auth::{
    Certificate, Error, KeyPair, Metadata, Password, PublicKey, SecretKey, curve_available, curve_keypair,
    curve_public, zmq,
};

#[path = "harness/python.rs"]
mod python;

#[test]
fn this_build_has_curve() {
    assert!(curve_available(), "{}", curve_keypair().unwrap_err());
}

#[test]
fn a_generated_pair_belongs_together_and_is_new_each_time() {
    let pairs: Vec<KeyPair> = (0..20).map(|_| curve_keypair().unwrap()).collect();
    for pair in &pairs {
        pair.check().unwrap();
        assert_eq!(curve_public(&pair.secret).unwrap(), pair.public);
        assert_eq!(KeyPair::from_secret(pair.secret.clone()).unwrap(), *pair);
        assert_eq!(
            (pair.public.as_bytes().len(), pair.public.to_string().len(), pair.secret.to_z85().len()),
            (32, 40, 40)
        );
    }
    assert_eq!(pairs.iter().map(|pair| pair.public).collect::<HashSet<_>>().len(), 20);
    assert_eq!(pairs.iter().map(|pair| *pair.secret.as_bytes()).collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn halves_of_two_pairs_are_told_apart() {
    let (a, b) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    assert!(matches!(KeyPair { public: a.public, secret: b.secret }.check(), Err(Error::KeyMismatch)));
}

#[test]
fn text_and_bytes_lead_back_to_the_same_key() {
    let pair = KeyPair::generate().unwrap();
    assert_eq!(pair.public.to_string().parse::<PublicKey>().unwrap(), pair.public);
    assert_eq!(PublicKey::from(*pair.public.as_bytes()), pair.public);
    assert_eq!(PublicKey::try_from(&pair.public.as_bytes()[..]).unwrap(), pair.public);
    assert_eq!(pair.secret.to_z85().parse::<SecretKey>().unwrap(), pair.secret);
    assert_eq!(SecretKey::from(*pair.secret.as_bytes()), pair.secret);
}

#[test]
fn text_that_is_not_a_key_is_an_error_that_does_not_quote_it() {
    let good = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    let inside_a_character = format!("{}é", &good[..38]);
    for text in [
        "",
        "short",
        &good[1..],
        &format!("{good} "),
        &format!(" {good}"),
        &format!("{good}0"),
        &format!("\"{good}\""),
        &good.replace('r', "~"),
        &good.replace('r', "\\"),
        &good.replace('r', "\0"),
        &good.replace('r', "é"),
        &inside_a_character,
        &"#".repeat(40),
        &"0".repeat(4000),
    ] {
        for error in [text.parse::<PublicKey>().unwrap_err(), text.parse::<SecretKey>().unwrap_err()] {
            assert!(matches!(error, Error::Key(_)), "{text:?}");
            let told = format!("{error} {error:?}");
            assert!(text.is_empty() || !told.contains(text), "{told}");
        }
    }
}

#[test]
fn keys_of_the_zmq_crate_are_converted() {
    let theirs = zmq::CurveKeyPair::new().unwrap();
    let (public, secret) = (theirs.public_key, theirs.secret_key);
    let ours = KeyPair::from(theirs);
    assert_eq!((ours.public.as_bytes(), ours.secret.as_bytes()), (&public, &secret));
    ours.check().unwrap();
}

#[test]
fn libzmq_takes_the_keys() {
    let pair = KeyPair::generate().unwrap();
    let socket = zmq::Context::new().socket(zmq::REQ).unwrap();
    socket.set_curve_publickey(pair.public.as_bytes()).unwrap();
    socket.set_curve_secretkey(pair.secret.as_bytes()).unwrap();
    assert_eq!(socket.get_curve_publickey().unwrap(), pair.public.as_bytes());
    assert_eq!(socket.get_curve_secretkey().unwrap(), pair.secret.as_bytes());
}

#[test]
fn pyzmq_derives_the_same_public_keys() {
    let script = "import sys, zmq\nfor secret in sys.argv[1:]: print(zmq.curve_public(secret.encode()).decode())";
    let pairs: Vec<KeyPair> = (0..20).map(|_| KeyPair::generate().unwrap()).collect();
    let secrets = pairs.iter().map(|pair| pair.secret.to_z85().to_string());
    let output = Command::new(python::python()).args(["-c", script]).args(secrets).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let expected: Vec<String> = pairs.iter().map(|pair| pair.public.to_string()).collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn no_debug_output_has_a_secret() {
    let pair = KeyPair::generate().unwrap();
    let secret = pair.secret.clone();
    let z85 = secret.to_z85();
    let bytes = format!("{:?}", secret.as_bytes());
    let hex: String = secret.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let password = Password::from("tr0ub4dor");
    let shown: [&dyn Debug; 4] = [&secret, &pair, &Certificate::from(pair.clone()), &password];
    for shown in shown {
        for text in [format!("{shown:?}"), format!("{shown:#?}"), format!("{shown:x?}"), format!("{:?}", [shown])] {
            for part in [z85.as_str(), bytes.trim_matches(['[', ']']), &hex, "tr0ub4dor"] {
                assert!(!text.contains(part), "{text}");
            }
        }
    }
    assert!(format!("{pair:?}").contains(&pair.public.to_string()));
}

#[test]
fn everything_may_go_to_another_thread_and_secrets_are_wiped() {
    fn shared<T: Send + Sync + Debug>() {}
    shared::<PublicKey>();
    shared::<SecretKey>();
    shared::<KeyPair>();
    shared::<Password>();
    shared::<Metadata>();
    shared::<Certificate>();
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<SecretKey>();
    wiped::<Password>();
}

#[test]
fn the_error_without_curve_names_both_ways_out() {
    let text = Error::CurveUnavailable { major: 4, minor: 3, patch: 4 }.to_string();
    for part in ["4.3.4", "[patch.crates-io]", ".cargo/config.toml", "rustc-link-lib", "README"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}
