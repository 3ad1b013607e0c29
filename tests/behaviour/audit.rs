//! The log and the counters, and the secrets that they never contain.

use std::os::unix::process::ExitStatusExt;

use log::Level;
use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, Error, SocketExt, Verdict};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{Record, SENTINEL, keys, password, records, stranger, wait_for};
use crate::harness::sockets::{Client, Server};
use crate::harness::{DEADLINE, domain, process, zap};

behaviours! {
    an_accepted_client_is_logged_at_info,
    a_denied_client_is_logged_at_warn_with_the_reason,
    every_answer_is_counted,
}

fn about(domain: &str) -> impl Fn(&Record) -> bool {
    let domain = format!("in domain \"{domain}\"");
    move |record| record.text.contains(&domain)
}

#[track_caller]
fn assert_says(record: &Record, level: Level, words: &[&str]) {
    assert_eq!(record.level, level, "{record:?}");
    for word in words {
        assert!(record.text.contains(word), "{word:?} is not in {record:?}");
    }
}

fn an_accepted_client_is_logged_at_info(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    let (shop, lab, null) = (domain("shop"), domain("lab"), domain("null"));
    auth.configure_plain(&shop, [("alice", password("a"))]).unwrap();
    auth.configure_curve_keys(&lab, [client_keys.public]).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server(&shop));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
    assert_says(&wait_for(DEADLINE, about(&shop)), Level::Info, &["allowed", "PLAIN", "127.0.0.1", "alice"]);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &lab));
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
    let key = client_keys.public.to_string();
    assert_says(&wait_for(DEADLINE, about(&lab)), Level::Info, &["allowed", "CURVE", "127.0.0.1", &key]);
    let server = Server::new(&context, |socket| socket.null_server(&null));
    Client::null(&context, server.endpoint()).round_trip(&server);
    assert_says(&wait_for(DEADLINE, about(&null)), Level::Info, &["allowed", "NULL", "127.0.0.1"]);
}

fn a_denied_client_is_logged_at_warn_with_the_reason(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    let (shop, lab, none, asked) = (domain("shop"), domain("lab"), domain("none"), domain("asked"));
    auth.configure_plain(&shop, [("alice", password("a"))]).unwrap();
    auth.configure_curve_keys(&lab, [stranger()]).unwrap();
    auth.configure_plain_callback(&asked, |_, _, _| Verdict::Deny("on holiday".into())).unwrap();
    auth.deny(["127.0.0.2"]).unwrap();
    let _running = front_end.start(&auth, &context);

    let server = Server::new(&context, |socket| socket.plain_server(&shop));
    Client::plain(&context, server.endpoint(), "alice", &password("b")).expect_denied();
    let record = wait_for(DEADLINE, about(&shop));
    assert_says(&record, Level::Warn, &["denied", "PLAIN", "127.0.0.1", "\"alice\"", "wrong password"]);

    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &lab));
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).expect_denied();
    let key = client_keys.public.to_string();
    let record = wait_for(DEADLINE, about(&lab));
    assert_says(&record, Level::Warn, &["denied", "CURVE", "127.0.0.1", &key, "unknown key"]);

    let server = Server::new(&context, |socket| socket.plain_server(&none));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    assert_says(&wait_for(DEADLINE, about(&none)), Level::Warn, &["denied", "not configured"]);
    Client::null(&context, &server.endpoint_from("127.0.0.2")).expect_mismatch();

    let server = Server::new(&context, |socket| socket.plain_server(&asked));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    assert_says(&wait_for(DEADLINE, about(&asked)), Level::Warn, &["denied", "on holiday"]);

    let null = domain("null");
    let server = Server::new(&context, |socket| socket.null_server(&null));
    Client::null(&context, &server.endpoint_from("127.0.0.2")).expect_denied();
    assert_says(&wait_for(DEADLINE, about(&null)), Level::Warn, &["denied", "NULL", "127.0.0.2", "address denied"]);
}

fn every_answer_is_counted(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("asked", |user, _, _| match user {
        "allow" => Verdict::Allow,
        "retry" => Verdict::Retry,
        "fault" => Verdict::Fault("broken".into()),
        _ => Verdict::Deny("no".into()),
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = zap::Asker::connect(&context);
    for (user, times) in [("allow", 1), ("deny", 2), ("retry", 3), ("fault", 4)] {
        for _ in 0..times {
            let secret = password("a");
            asker.ask(&zap::request("asked", "127.0.0.1", "PLAIN", &[user.as_bytes(), secret.as_bytes()]));
            asker.reply();
        }
    }
    let counters = auth.counters();
    assert_eq!((counters.allowed, counters.denied, counters.retried, counters.faults), (1, 2, 3, 4));
    assert_eq!((counters.dropped, counters.calls_refused, counters.calls_timed_out), (0, 0, 0));
}

#[test]
fn text_from_outside_is_escaped_and_cut() {
    let auth = Authenticator::new();
    let name = domain("escaped");
    let forged = b"x\"\n[INFO] allowed \x1b[2J\xff";
    let secret = password("a");
    for (n, frame) in [3, 5, 6].into_iter().enumerate() {
        let address = format!("192.0.2.{n}");
        let mut request = zap::request(&name, &address, "PLAIN", &[b"alice", secret.as_bytes()]);
        request[frame] = forged.to_vec();
        zap::status(&auth, &request);
        request[frame] = vec![b'y'; 100_000];
        zap::status(&auth, &request);
    }
    let told = records(about(&name));
    assert_eq!(told.len(), 6, "{told:#?}");
    for record in &told {
        assert!(record.text.chars().all(|c| c == '…' || (' '..='~').contains(&c)), "{record:?}");
        assert!(record.text.len() < 1000, "{} bytes", record.text.len());
    }
    assert!(told.iter().any(|record| record.text.contains(r#"x\"\n[INFO] allowed \x1b[2J\xff"#)), "{told:#?}");
    assert!(told.iter().any(|record| record.text.contains(&format!("{}…", "y".repeat(256)))));
    // Also the domain and the user id of an accepted client.
    let open = "open\n[WARN] denied";
    auth.configure_curve_callback(open, |_, _| Verdict::AllowAs {
        user_id: format!("{}\n", "z".repeat(1000)),
        metadata: Default::default(),
    })
    .unwrap();
    assert_eq!(zap::curve(&auth, open, &stranger()), 200);
    let record =
        wait_for(DEADLINE, |record| record.text.contains(r"open\n[WARN] denied") && record.level == Level::Info);
    assert!(record.text.contains(&"z".repeat(256)) && !record.text.contains(&"z".repeat(257)), "{record:?}");
    assert!(!record.text.contains('\n'), "{record:?}");
}

#[test]
fn one_peer_with_many_attempts_can_neither_fill_the_log_nor_hide_others() {
    let auth = Authenticator::new();
    let (name, other) = (domain("flood"), domain("flood"));
    for n in 0..1000 {
        let secret = password("a");
        let user = format!("user{n}");
        let request = zap::request(&name, "192.0.2.7", "PLAIN", &[user.as_bytes(), secret.as_bytes()]);
        assert_eq!(zap::status(&auth, &request), 400);
    }
    let told = records(about(&name)).len();
    // Ten, and one more for each ten seconds that the machine may have slept.
    assert!((5..=20).contains(&told), "{told} records");
    assert_eq!(auth.counters().denied, 1000);
    assert_eq!(zap::status(&auth, &zap::request(&other, "192.0.2.8", "PLAIN", &[b"bob", b"x"])), 400);
    assert_eq!(records(about(&other)).len(), 1);
}

#[test]
fn accepted_clients_of_one_address_cannot_fill_the_log_nor_hide_others() {
    let auth = Authenticator::new();
    let name = domain("often");
    for _ in 0..1000 {
        assert_eq!(zap::null(&auth, &name, "192.0.2.7"), 200);
    }
    let logged = records(about(&name)).len();
    // Ten, and one more for each ten seconds that the machine may have slept.
    assert!((5..=20).contains(&logged), "{logged} records");
    assert_eq!(auth.counters().allowed, 1000);
    let other = domain("other");
    assert_eq!(zap::null(&auth, &other, "192.0.2.8"), 200);
    assert_eq!(records(about(&other)).len(), 1);
}

#[test]
fn suppressed_lines_are_reported_when_the_handler_stops() {
    let (auth, context) = (Authenticator::new(), zmq::Context::new());
    for _ in 0..4321 {
        assert_eq!(zap::null(&auth, "d", "192.0.2.7"), 200);
    }
    auth.start(&context).unwrap().stop().unwrap();
    let report = |record: &Record| record.text.starts_with("suppressed 43");
    assert_says(
        &wait_for(DEADLINE, report),
        Level::Warn,
        &["log lines about accepted clients", "and 0 about refused ones"],
    );
}

#[test]
fn empty_sources_are_warned_about() {
    let auth = Authenticator::new();
    let directory = tempfile::tempdir().unwrap();
    let (plain, set, files) = (domain("empty"), domain("empty"), domain("empty"));
    auth.configure_plain(&plain, [("", ""); 0]).unwrap();
    auth.configure_curve_keys(&set, []).unwrap();
    auth.configure_curve(&files, directory.path()).unwrap();
    for name in [&plain, &set, &files] {
        let record = wait_for(DEADLINE, |record| record.text.contains(&format!("{name:?}")));
        assert_says(&record, Level::Warn, &["empty", "nobody"]);
    }
    assert_eq!(zap::curve(&auth, &files, &stranger()), 400);
    assert_eq!(zap::curve(&auth, &set, &stranger()), 400);
}

#[test]
fn no_secret_is_in_what_is_printed() {
    let auth = Authenticator::new();
    let (secret, pair) = (password("printed"), keys());
    auth.configure_plain("d", [("alice", secret.as_str())]).unwrap();
    auth.configure_curve("d", CURVE_ALLOW_ANY).unwrap();
    let context = zmq::Context::new();
    let running = auth.start(&context).unwrap();
    let mut printed =
        format!("{auth:?} {auth:#?} {running:?} {pair:?} {:?}", zmq_auth::Password::from(secret.as_str()));
    for error in [
        auth.configure_plain("d", [("bob", password(&"x".repeat(300)))]).unwrap_err(),
        zmq_auth::KeyPair { public: pair.public, secret: keys().secret }.check().unwrap_err(),
        pair.secret.to_z85()[1..].parse::<zmq_auth::SecretKey>().unwrap_err(),
        Error::Domain { length: 0 },
    ] {
        printed += &format!("{error} {error:?}");
    }
    assert!(!printed.contains(SENTINEL), "{printed}");
    assert!(!printed.contains(&pair.secret.to_z85()[1..]), "{printed}");
    let bytes = format!("{:?}", &pair.secret.as_bytes()[..8]);
    assert!(!printed.contains(bytes.trim_matches(['[', ']'])), "{printed}");
}

#[test]
fn no_password_is_logged_at_any_level() {
    // A record with a secret ends this process; here it is checked that all of this is logged.
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let directory = tempfile::tempdir().unwrap();
    let [table, file, asked, none] = ["table", "file", "asked", "none"].map(domain);
    assert_eq!(log::max_level(), log::LevelFilter::Trace);
    let (right, wrong) = (password("right"), password("wrong"));
    let lines = directory.path().join("passwords");
    std::fs::write(&lines, format!("alice={right}\n")).unwrap();
    auth.configure_plain(&table, [("alice", right.as_str())]).unwrap();
    auth.configure_plain_file(&file, &zmq_auth::PasswordFile::open(&lines).unwrap()).unwrap();
    let expected = right.clone();
    auth.configure_plain_callback(&asked, move |user, secret, _| match user {
        "alice" => Verdict::from(secret == expected),
        "deny" => Verdict::Deny(format!("{secret} isn't it").into()),
        "fault" => Verdict::Fault(format!("the database refused {secret:?}").into()),
        _ => panic!("a panic that a test makes, with {secret}"),
    })
    .unwrap();
    let _running = auth.start(&context).unwrap();
    let asker = zap::Asker::connect(&context);
    let mut addresses = Vec::new();
    for (domain, user, let_in) in [
        (&table, "alice", true),
        (&file, "alice", true),
        (&asked, "alice", true),
        (&none, "alice", false),
        (&table, "mallory", false),
        (&file, "mallory", false),
        (&asked, "deny", false),
        (&asked, "fault", false),
        (&asked, "panic", false),
    ] {
        for (secret, is_right) in [(&right, true), (&wrong, false)] {
            let mut request = || {
                // Each from its own address, because records about one address are limited.
                let address = format!("203.0.113.{}", addresses.len());
                addresses.push(address.clone());
                zap::request(domain, &address, "PLAIN", &[user.as_bytes(), secret.as_bytes()])
            };
            // Through a socket and without one.
            asker.ask(&request());
            let statuses = [zap::status_of(&asker.reply()), zap::status(&auth, &request())];
            assert_eq!(statuses.map(|status| status == 200), [let_in && is_right; 2], "{user} of {domain}");
        }
    }
    for address in addresses {
        let about_it = |record: &Record| record.text.split([' ', ',', ':']).any(|word| word == address);
        assert_eq!(records(about_it).len(), 1, "of {address}");
    }
    // One frame too many, and a password where there should be none.
    let secret = right.as_bytes();
    for (mechanism, credentials) in
        [("PLAIN", &[&b"alice"[..], secret, secret][..]), ("NULL", &[secret]), ("BOGUS", &[b"alice", secret])]
    {
        assert_eq!(zap::status(&auth, &zap::request(&table, "192.0.2.200", mechanism, credentials)), 400);
    }
    // A table that can't be used, and a file that can't be read.
    auth.configure_plain(&table, [("alice", right.as_str()), ("", wrong.as_str())]).unwrap_err();
    std::fs::write(&lines, format!("alice={right}\n{wrong}\n")).unwrap();
    zmq_auth::PasswordFile::open(&lines).unwrap_err();
}

#[test]
fn a_secret_in_the_log_ends_the_test_process() {
    let pair = keys();
    let forms = [
        password("logged"),
        pair.secret.to_z85().to_string(),
        format!("{:?}", pair.secret.as_bytes()),
        pair.secret.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
        format!("{:?}", password("logged").as_bytes()),
    ];
    if let Ok(form) = std::env::var("FORM") {
        log::info!(target: "some_crate", "here it is: {}", forms[form.parse::<usize>().unwrap()]);
        return;
    }
    log::info!(target: "some_crate", "nothing secret: {}", pair.public);
    for form in 0..forms.len() {
        let name = "audit::a_secret_in_the_log_ends_the_test_process";
        let ended = process::run_again(name, &[("FORM", &form.to_string())], DEADLINE);
        assert_eq!(ended.status.and_then(|status| status.signal()), Some(6), "form {form}: {ended:?}");
        assert!(ended.stderr.contains("A SECRET WAS LOGGED"), "{ended:?}");
    }
}
