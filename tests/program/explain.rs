//! `zmq-auth explain`.

use std::fs;
use std::path::Path;

use zmq_auth::{Certificate, Password, PasswordFile};

use crate::run::{Outcome, run, run_with_input};

/// A directory with a policy, three clients, and a user with a hashed password.
fn set_up() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("clients")).unwrap();
    let save = |certificate: Certificate, name: &str| {
        certificate.save_pair(directory.path(), name).unwrap();
        certificate.save_public(path("clients").join(format!("{name}.key"))).unwrap();
    };
    save(Certificate::generate().unwrap(), "alice");
    save(Certificate::generate().unwrap().with_metadata("not-after", "2020-01-01T00:00:00Z").unwrap(), "bob");
    Certificate::generate().unwrap().save_pair(directory.path(), "mallory").unwrap();
    let line = PasswordFile::line("carol", &Password::from("correct horse")).unwrap();
    fs::write(path("passwords"), line + "\n").unwrap();
    let policy = "[addresses]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.66\"]\n\
        [domain.lab]\ncurve = { directory = \"clients\", user_id = \"name\" }\nplain = { file = \"passwords\" }\n\
        [domain.\"*\"]\nnull = \"deny\"\nplain = { clear_passwords = { dave = \"secret\" } }\n";
    fs::write(path("policy.toml"), policy).unwrap();
    directory
}

fn explain(directory: &Path, domain: &str, address: &str, client: &[&str]) -> Outcome {
    let arguments = ["explain", "policy.toml", "--domain", domain, "--address", address];
    run(directory, &[&arguments, client].concat())
}

#[test]
fn curve_clients_rule_by_rule() {
    let directory = set_up();
    let at = directory.path();
    let clients = fs::canonicalize(at).unwrap().join("clients");
    let alice = explain(at, "lab", "10.0.0.7", &["--curve", "alice.key"]).ok();
    let expected = format!(
        "address    10.0.0.7: accepted by \"allow 10.0.0.0/8\"\n\
         domain     [domain.\"lab\"] decides about CURVE\n\
         source     a directory: {0}\n\
         key        {0}/alice.key\n\
         outcome    accepted (200), user id \"alice\"\n",
        clients.display()
    );
    assert_eq!(alice, expected);

    let key = zmq_auth::PublicKey::load(at.join("alice.key")).unwrap().to_string();
    assert_eq!(explain(at, "lab", "10.0.0.7", &["--curve", &key]).ok(), alice, "by the key");

    let bob = explain(at, "lab", "10.0.0.7", &["--curve", "bob.key_secret"]);
    assert_eq!(bob.code, 3);
    assert!(bob.stdout.contains("clients/bob.key\nnot after  2020-01-01T00:00:00Z\n"), "{}", bob.stdout);
    assert!(bob.stdout.contains("outcome    refused (400): certificate expired"), "{}", bob.stdout);

    let mallory = explain(at, "lab", "10.0.0.7", &["--curve", "mallory.key"]);
    assert_eq!(mallory.code, 3);
    assert!(
        mallory.stdout.contains("key        not found\noutcome    refused (400): unknown key"),
        "{}",
        mallory.stdout
    );

    let elsewhere = explain(at, "shop", "10.0.0.7", &["--curve", "alice.key"]);
    assert!(
        elsewhere.stdout.contains("domain     no table for CURVE in \"shop\" or \"*\": refused"),
        "{}",
        elsewhere.stdout
    );
}

#[test]
fn addresses_come_first() {
    let directory = set_up();
    let at = directory.path();
    for (address, rule) in [("10.0.0.66", "refused by \"deny 10.0.0.66/32\""), ("192.0.2.1", "no allow rule covers it")]
    {
        for client in [&["--curve", "alice.key"][..], &["--plain", "carol"], &["--null"]] {
            let outcome = explain(at, "lab", address, client);
            assert_eq!(outcome.code, 3, "{}", outcome.stdout);
            assert!(outcome.stdout.contains(rule), "{}", outcome.stdout);
        }
    }
}

#[test]
fn plain_clients_with_and_without_a_password() {
    let directory = set_up();
    let at = directory.path();
    let carol = explain(at, "lab", "10.0.0.7", &["--plain", "carol"]).ok();
    assert!(
        carol.contains("source     a password file: ") && carol.contains("passwords\nuser       found\n"),
        "{carol}"
    );
    assert!(carol.contains("outcome    accepted with the right password"), "{carol}");
    let nobody = explain(at, "lab", "10.0.0.7", &["--plain", "nobody"]);
    assert!(nobody.code == 3 && nobody.stdout.contains("user       not found"), "{}", nobody.stdout);
    let with_password = |domain: &str, user: &str, password: &str| {
        let arguments =
            ["explain", "policy.toml", "--domain", domain, "--address", "10.0.0.7", "--stdin", "--plain", user];
        run_with_input(at, &arguments, password.as_bytes())
    };
    let right = with_password("lab", "carol", "correct horse\r\n");
    assert!(right.code == 0 && right.stdout.contains("accepted (200), user id \"carol\""), "{}", right.stdout);
    let wrong = with_password("lab", "carol", "wrong");
    assert!(wrong.code == 3 && wrong.stdout.contains("refused (400)"), "{}", wrong.stdout);
    assert_eq!((with_password("x", "dave", "secret").code, with_password("x", "dave", "no").code), (0, 3));
    fs::write(at.join("password"), "correct horse").unwrap();
    assert_eq!(explain(at, "lab", "10.0.0.7", &["--plain", "carol", "--password-file", "password"]).code, 0);
    let open = explain(at, "x", "10.0.0.7", &["--plain", "dave", "--json"]).json();
    assert_eq!((&open["outcome"], &open["status"]), (&"depends on the password".into(), &serde_json::Value::Null));
}

#[test]
fn null_clients() {
    let directory = set_up();
    let denied = explain(directory.path(), "lab", "10.0.0.7", &["--null"]);
    assert!(
        denied.code == 3 && denied.stdout.contains("[domain.\"*\"] decides about NULL in \"lab\""),
        "{}",
        denied.stdout
    );
    fs::write(directory.path().join("policy.toml"), "[revocation]\nchecks = false\n").unwrap();
    let accepted = explain(directory.path(), "lab", "10.0.0.7", &["--null"]).ok();
    assert!(accepted.contains("no table for NULL in \"lab\" or \"*\": accepted"), "{accepted}");
}

#[test]
fn json_has_the_same() {
    let directory = set_up();
    let json = explain(directory.path(), "lab", "10.0.0.7", &["--curve", "bob.key", "--json"]).json();
    for (field, value) in [
        ("outcome", "refused"),
        ("address_rule", "allow 10.0.0.0/8"),
        ("domain", "lab"),
        ("source", "a directory"),
        ("not_after", "2020-01-01T00:00:00Z"),
    ] {
        assert_eq!(json[field], value, "{json:#}");
    }
    assert_eq!(
        (&json["status"], &json["listed"], &json["user_id"]),
        (&400.into(), &true.into(), &serde_json::Value::Null)
    );
    assert!(json["files"][0].as_str().unwrap().ends_with("clients/bob.key"));
}

#[test]
fn wrong_use() {
    let directory = set_up();
    let at = directory.path();
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 2, "--curve <KEY|FILE>|--plain <USER>|--null"),
        (&["--null", "--plain", "carol"], 2, "cannot be used with"),
        (&["--curve", "nowhere.key"], 2, "no such file, and not a CURVE key"),
        (&["--curve", "-0000-0000"], 2, "-0000-0000: no such file, and"),
        (&["--null", "--stdin"], 2, "Add --plain USER"),
        (&["--plain", "carol", "--password-file", "nowhere"], 1, "nowhere: cannot read the password"),
    ];
    for (client, code, text) in cases {
        let outcome = explain(at, "lab", "10.0.0.7", client);
        assert!(
            outcome.code == *code && outcome.stderr.contains(text),
            "{client:?}: {} {}",
            outcome.code,
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "");
    }
    fs::write(at.join("policy.toml"), "[domain.lab]\nfoo = 1\n").unwrap();
    let bad = explain(at, "lab", "10.0.0.7", &["--null"]);
    assert!(bad.code == 1 && bad.stderr.contains("policy.toml:2:1: unknown field `foo`"), "{}", bad.stderr);
    assert!(bad.stderr.contains("zmq-auth lint policy.toml"), "{}", bad.stderr);
}

#[test]
fn what_no_server_would_ask_is_wrong_use() {
    let directory = set_up();
    let at = directory.path();
    let long = "d".repeat(256);
    for (domain, address, says) in [
        ("", "10.0.0.7", "--domain must have 1 to 255 bytes"),
        (&long, "10.0.0.7", "--domain must have 1 to 255 bytes"),
        ("lab", "", "is not an address"),
        ("lab", "10.0.0.300", "is not an address"),
        ("lab", "10.0.0.7:5555", "is not an address"),
        ("lab", "10.0.0.7%eth0", "is not an address"),
        ("lab", "example.org", "is not an address"),
        ("lab", "localhost", "is not an address"),
        ("lab", "localhost:1:2:", "is not an address"),
    ] {
        let outcome = explain(at, domain, address, &["--null"]);
        assert!(outcome.code == 2 && outcome.stderr.contains(says), "{address:?}: {} {}", outcome.code, outcome.stderr);
    }
    fs::write(at.join("policy.toml"), "[revocation]\nchecks = false\n").unwrap();
    for address in ["10.0.0.7", "fd00::7", "fe80::7%eth0", "::ffff:10.0.0.7", "localhost:1000:1000:77"] {
        assert_eq!(explain(at, &long[1..], address, &["--null"]).code, 0, "{address}");
    }
}

#[test]
fn a_refused_address_is_not_called_accepted() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("policy.toml"), "[addresses]\ndeny = [\"10.0.0.66\"]\n").unwrap();
    let outcome = explain(directory.path(), "lab", "10.0.0.66", &["--null"]);
    assert_eq!(outcome.code, 3);
    assert!(outcome.stdout.contains("domain     no table for NULL in \"lab\" or \"*\"\n"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("accepted"), "{}", outcome.stdout);
}

#[test]
fn a_path_that_is_not_utf_8_is_in_the_json() {
    use std::os::unix::ffi::OsStrExt;
    let directory = set_up();
    let from = directory.path().join("clients/alice.key");
    fs::rename(from, directory.path().join("clients").join(std::ffi::OsStr::from_bytes(b"\xff.key"))).unwrap();
    let json = explain(directory.path(), "lab", "10.0.0.7", &["--curve", "alice.key", "--json"]).json();
    assert!(json["files"][0].as_str().unwrap().ends_with("clients/\u{fffd}.key"), "{json:#}");
    assert!(json.get("problems").is_none(), "{json:#}");
}
