//! What each line of a policy file does.

use std::fs;

use zmq_auth::{MatchedDomain, PublicKey};

use crate::fixture::{Fixture, ask, curve, null, plain};
use crate::harness::zap;

const FROM: &str = "127.0.0.1";

#[test]
fn addresses_and_ipc_users() {
    let fixture = Fixture::new(
        "[addresses]\nallow = [\"10.0.0.0/8\", \"::1\"]\ndeny = [\"10.0.0.66\"]\n\
         allow_ipc = [{ user = 1000 }, { group = 27 }]\ndeny_ipc = [{ user = 1001 }]\n",
    );
    let policy = fixture.open();
    let cases = [
        ("10.1.2.3", 200),
        ("::1", 200),
        ("10.0.0.66", 400),
        ("192.0.2.1", 400),
        ("localhost:1000:5:77", 200),
        ("localhost:7:27:77", 200),
        ("localhost:1001:27:77", 400),
        ("localhost:7:7:77", 400),
    ];
    for (address, status) in cases {
        assert_eq!(null(policy.authenticator(), "lab", address), status, "{address}");
    }
    fixture.write("[addresses]\ndeny_ipc = [\"any\"]\n");
    policy.reload().unwrap();
    assert_eq!(null(policy.authenticator(), "lab", "localhost:1000:5:77"), 400);
    assert_eq!(null(policy.authenticator(), "lab", "192.0.2.1"), 200);
}

#[test]
fn domains_by_mechanism_and_the_star() {
    let fixture = Fixture::new(
        "[domain.lab]\ncurve = { directory = \"clients\", user_id = \"name\" }\nplain = { file = \"passwords\" }\nnull = \"deny\"\n\
         [domain.open]\nnull = \"allow\"\ncurve = { any = true }\n\
         [domain.\"*\"]\nnull = \"deny\"\ngssapi = true\nplain = { clear_passwords = { bob = \"tr0ub4dor\" } }\n\
         curve = { keys = [\"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"] }\n",
    );
    let [alice] = fixture.clients("clients", ["alice"]);
    let listed: PublicKey = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7".parse().unwrap();
    fs::write(fixture.path("passwords"), "alice=correct horse\n").unwrap();
    let policy = fixture.open();
    let auth = policy.authenticator();
    assert_eq!(ask(auth, "lab", FROM, "CURVE", &[alice.as_bytes()]), (200, "alice".into()));
    assert_eq!(
        (curve(auth, "lab", &listed), curve(auth, "other", &listed), curve(auth, "open", &listed)),
        (400, 200, 200)
    );
    assert_eq!((curve(auth, "other", &alice), curve(auth, "open", &alice)), (400, 200));
    assert_eq!((null(auth, "lab", FROM), null(auth, "open", FROM), null(auth, "other", FROM)), (400, 200, 400));
    assert_eq!((plain(auth, "lab", "alice", "correct horse"), plain(auth, "lab", "alice", "wrong")), (200, 400));
    assert_eq!((plain(auth, "other", "bob", "tr0ub4dor"), plain(auth, "lab", "bob", "tr0ub4dor")), (200, 400));
    assert_eq!(ask(auth, "other", FROM, "GSSAPI", &[b"alice@REALM"]).0, 200);

    let stores: Vec<_> = policy.stores().into_iter().map(|(path, status)| (path, status.entries)).collect();
    assert_eq!(stores, [(fixture.path("clients"), 1), (fixture.path("passwords"), 1)]);
    assert_eq!(policy.status().entries, 3, "tables");

    let why = auth.explain(&zap::request("lab", FROM, "CURVE", &[listed.as_bytes()])).unwrap();
    assert_eq!((why.status, why.domain, why.listed), (Some(400), Some(MatchedDomain::Exact), Some(false)));
    assert_eq!(why.store, Some(fixture.path("clients")));
    let why = auth.explain(&zap::request("lab", FROM, "PLAIN", &[b"alice", b"wrong"])).unwrap();
    assert_eq!((why.status, why.listed, why.store), (Some(400), Some(true), Some(fixture.path("passwords"))));
    let why = auth.explain(&zap::request("other", FROM, "PLAIN", &[b"alice", b"wrong"])).unwrap();
    assert_eq!((why.domain, why.listed, why.store), (Some(MatchedDomain::Any), Some(false), None));
    let why = auth.explain(&zap::request("open", FROM, "CURVE", &[alice.as_bytes()])).unwrap();
    assert_eq!((why.status, why.listed, why.store), (Some(200), None, None));
}

#[test]
fn user_ids_by_domain() {
    let fixture = Fixture::new(
        "[domain.key]\ncurve = { directory = \"clients\" }\n\
         [domain.key2]\ncurve = { directory = \"clients\", user_id = \"key\" }\n\
         [domain.name]\ncurve = { directory = \"clients\", user_id = \"name\" }\n\
         [domain.metadata]\ncurve = { directory = \"clients\", user_id = { metadata = \"mail\" } }\n",
    );
    fs::create_dir(fixture.path("clients")).unwrap();
    let certificate = zmq_auth::Certificate::generate().unwrap().with_metadata("mail", "a@example.org").unwrap();
    certificate.save_public(fixture.path("clients/alice.key")).unwrap();
    let key = certificate.public_key();
    let policy = fixture.open();
    let id = |domain| ask(policy.authenticator(), domain, FROM, "CURVE", &[key.as_bytes()]);
    for (domain, user_id) in [
        ("key", key.to_string()),
        ("key2", key.to_string()),
        ("name", "alice".into()),
        ("metadata", "a@example.org".into()),
    ] {
        assert_eq!(id(domain), (200, user_id), "{domain}");
    }
    assert_eq!(policy.stores().len(), 1, "one directory is one store");
}

#[test]
fn limits_and_revocation_checks() {
    let fixture = Fixture::new(
        "[limits]\nfailures = { count = 2, within = \"1m\", pause = \"5m\" }\nmessage_size = \"1 MiB\"\n\
         callbacks = { deadline = \"1s\" }\n\
         [revocation]\nchecks = true\n\
         [domain.shop]\nplain = { clear_passwords = { alice = \"correct horse\" } }\n",
    );
    let policy = fixture.open();
    assert_eq!(policy.message_size(), Some(1 << 20));
    let auth = policy.authenticator();
    assert_eq!(plain(auth, "shop", "alice", "correct horse"), 200);
    assert_eq!((plain(auth, "shop", "alice", "wrong"), plain(auth, "shop", "alice", "wrong")), (400, 400));
    assert_eq!(plain(auth, "shop", "alice", "correct horse"), 300, "a pause");
    let marked = auth.handle_zap_message(&zap::request("shop", "192.0.2.1", "NULL", &[])).unwrap();
    assert!(!marked[5].is_empty(), "a connection without a mark can't be checked later");
    fixture.write("[limits]\nmessage_size = 4096\n");
    policy.reload().unwrap();
    assert_eq!(policy.message_size(), Some(4096));
}

/// The example in the docs of `PolicyFile`.
#[test]
fn the_example_of_the_docs_is_a_policy() {
    let source = include_str!("../../src/policy/mod.rs");
    let example = source.split("/// ```toml\n").nth(1).unwrap().split("/// ```").next().unwrap();
    let example: String =
        example.lines().map(|line| format!("{}\n", line.trim_start_matches("///").trim_start())).collect();
    let fixture = Fixture::new(&example);
    let [alice] = fixture.clients("clients", ["alice"]);
    fs::write(fixture.path("passwords"), "").unwrap();
    let policy = fixture.open();
    assert_eq!(policy.status().entries, 5);
    assert_eq!(ask(policy.authenticator(), "lab", "10.0.0.7", "CURVE", &[alice.as_bytes()]), (200, "alice".into()));
    assert_eq!(null(policy.authenticator(), "lab", "10.0.0.7"), 400);
}
