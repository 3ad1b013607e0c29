//! `zmq-auth rotate`.

use std::fs;
use std::path::Path;
use std::process::Command;

use zmq_auth::{Authenticator, Certificate, KeyDirectory, UserId};

use crate::files::{OTHER, PUBLIC, all, certificate, keygen, listed, mode, names};
use crate::run::run;

/// A directory with `clients/alice.key`, and the pair in `alice`.
fn alice(metadata: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["clients", "alice"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let metadata: Vec<_> = metadata.iter().flat_map(|entry| ["-m", entry]).collect();
    keygen(dir.path(), &[&["alice", "-o", "alice"], &metadata[..]].concat());
    run(dir.path(), &["add", "clients", "alice/alice.key"]).ok();
    dir
}

/// The status and user id with which a server with this directory answers.
fn decided(directory: &Path, user_id: UserId, certificate: &Certificate) -> (String, String) {
    let auth = Authenticator::new();
    auth.curve_user_id_from(user_id);
    auth.configure_curve_store("*", &KeyDirectory::open(directory).unwrap()).unwrap();
    let key = certificate.public_key();
    let request: [&[u8]; 7] = [b"1.0", b"1", b"lab", b"127.0.0.1", b"", b"CURVE", key.as_bytes()];
    let reply = auth.handle_zap_message(&request).unwrap();
    let text = |frame: &Vec<u8>| String::from_utf8(frame.clone()).unwrap();
    (text(&reply[2]), text(&reply[4]))
}

fn seconds(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_second()
}

#[test]
fn both_keys_are_accepted_and_the_old_one_ends() {
    let dir = alice(&["name=Alice", "role=reader"]);
    let clients = dir.path().join("clients");
    let old = Certificate::load(dir.path().join("alice/alice.key_secret")).unwrap();
    let before = jiff::Timestamp::now().as_second();
    let value =
        run(dir.path(), &["rotate", "alice", "-d", "clients", "-o", "alice", "--overlap", "30d", "--json"]).json();
    let until = value["old"]["not_after"].as_str().unwrap();
    let end = seconds(until) - 30 * 24 * 3600;
    assert!((before..before + 60).contains(&end), "{until}");

    let old_name = format!("alice.until-{}", &until[..10]);
    let file = |place: &str, name: &str| format!("{place}/{name}");
    assert_eq!(value["new"]["file"], "clients/alice.key");
    assert_eq!(value["old"]["file"], file("clients", &format!("{old_name}.key")));
    assert_eq!(
        (&value["secret_file"], &value["new"]["not_after"]),
        (&"alice/alice.key_secret".into(), &serde_json::Value::Null)
    );
    let expected: Vec<_> = [
        "alice/alice.key".to_owned(),
        "alice/alice.key_secret".into(),
        format!("alice/{old_name}.key"),
        format!("alice/{old_name}.key_secret"),
        "clients/alice.key".into(),
        format!("clients/{old_name}.key"),
        "clients/revoked/alice.key".into(),
    ]
    .into();
    assert_eq!(names(dir.path()), expected);

    let new = Certificate::load(dir.path().join("alice/alice.key_secret")).unwrap();
    new.key_pair().unwrap().check().unwrap();
    assert_eq!(mode(&dir.path().join("alice/alice.key_secret")), 0o600);
    assert_ne!(new.public_key(), old.public_key());
    assert_eq!(Certificate::load(dir.path().join(format!("alice/{old_name}.key_secret"))).unwrap(), old);
    let ending = Certificate::load(clients.join(format!("{old_name}.key"))).unwrap();
    let times = ["not-before", "not-after"];
    for certificate in [&new, &ending, &Certificate::load(clients.join("alice.key")).unwrap()] {
        let metadata: Vec<_> = certificate.metadata().iter().filter(|(name, _)| !times.contains(name)).collect();
        assert_eq!(metadata, [("name", "Alice"), ("role", "reader")]);
    }

    let accepted = |user: &str| ("200".to_owned(), user.to_owned());
    let by_name = UserId::Metadata("name".into());
    assert_eq!(decided(&clients, by_name.clone(), &new), accepted("Alice"));
    assert_eq!(decided(&clients, by_name, &old), accepted("Alice"));
    assert_eq!(decided(&clients, UserId::FileName, &new), accepted("alice"));
    assert_eq!(decided(&clients, UserId::FileName, &old), accepted(&old_name));
}

#[test]
fn the_text_says_what_to_copy_and_the_undo_undoes() {
    for (output, extra) in [("alice", &[][..]), ("alice", &["--as", "alice-2"]), ("new", &[]), ("clients", &[])] {
        let dir = alice(&["name=Alice"]);
        fs::create_dir(dir.path().join("new")).unwrap();
        let before = all(dir.path());
        let text =
            run(dir.path(), &[&["rotate", "alice", "-d", "clients", "-o", output, "--overlap", "12h"], extra].concat())
                .ok();
        let to_the_client = format!("Send to the client, over a secure channel: {output}/alice");
        for part in ["new: ", "old: ", "Copy to the server's directory", &to_the_client, "User ids: "] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let undo: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("Undo: ")).collect();
        assert!(Command::new("sh").args(["-ec", &undo.join("\n")]).current_dir(dir.path()).status().unwrap().success());
        assert_eq!(all(dir.path()), before, "{text}");
    }
}

#[test]
fn with_as_the_old_files_keep_their_names() {
    let dir = alice(&[]);
    let clients = dir.path().join("clients");
    let old = Certificate::load(dir.path().join("alice/alice.key_secret")).unwrap();
    run(
        dir.path(),
        &[
            "rotate",
            "alice",
            "-d",
            "clients",
            "-o",
            "alice",
            "--overlap",
            "1d",
            "--as",
            "alice-2",
            "--not-after",
            "365d",
        ],
    )
    .ok();
    assert_eq!(
        names(&dir.path().join("alice")),
        ["alice-2.key", "alice-2.key_secret", "alice.key", "alice.key_secret"]
    );
    assert_eq!(names(&clients), ["alice-2.key", "alice.key", "revoked/alice.key"]);
    let new = Certificate::load(dir.path().join("alice/alice-2.key_secret")).unwrap();
    assert!(new.metadata().get("not-after").is_some());
    assert_eq!(decided(&clients, UserId::FileName, &old).1, "alice");
    assert_eq!(decided(&clients, UserId::FileName, &new).1, "alice-2");
    assert!(Certificate::load(clients.join("alice.key")).unwrap().metadata().get("not-after").is_some());
}

#[test]
fn in_one_directory_the_old_pair_is_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let key = keygen(dir.path(), &["alice"]);
    run(dir.path(), &["rotate", "alice", "--overlap", "1d"]).ok();
    let names = names(dir.path());
    assert!(names.len() == 5 && names[2].starts_with("alice.until-") && names[4] == "revoked/alice.key", "{names:?}");
    let new = run(dir.path(), &["pubkey", "alice.key"]).ok();
    assert_eq!(new, run(dir.path(), &["pubkey", "alice.key_secret"]).ok());
    assert_ne!(new.trim(), key);
    for old in [&names[2], &names[3]] {
        assert_eq!(run(dir.path(), &["pubkey", old]).ok().trim(), key, "{old}");
    }
    // A second rotation on the same day fails.
    let before = all(dir.path());
    let outcome = run(dir.path(), &["rotate", "alice", "--overlap", "1d"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("already rotated today"), "{}", outcome.stderr);
    assert_eq!(all(dir.path()), before);
}

#[test]
fn a_key_never_lasts_longer() {
    let dir = tempfile::tempdir().unwrap();
    let end = "2099-01-31T00:00:00Z";
    fs::write(dir.path().join("alice.key"), certificate(OTHER, &[&format!("not-after = {end}")])).unwrap();
    let value = run(dir.path(), &["rotate", "alice", "--overlap", "50000d", "--json"]).json();
    assert_eq!(
        (&value["old"]["not_after"], &value["old"]["file"]),
        (&end.into(), &"alice.until-2099-01-31.key".into())
    );
    assert_eq!(value["new"]["not_after"], serde_json::Value::Null);
}

#[test]
fn refused_rotations_change_nothing() {
    let dir = alice(&[]);
    let write = |name: &str, text: &str| fs::write(dir.path().join("clients").join(name), text).unwrap();
    write("ended.key", &certificate(PUBLIC, &["not-after = 2020-01-01T00:00:00Z"]));
    write("later.key", &certificate(PUBLIC, &["not-before = 2199-01-01T00:00:00Z"]));
    write("time.key", &certificate(PUBLIC, &["not-after = tomorrow"]));
    keygen(dir.path(), &["secret", "-o", "alice"]);
    fs::copy(dir.path().join("alice/secret.key_secret"), dir.path().join("clients/secret.key")).unwrap();
    write("twin.key", &certificate(&keygen(dir.path(), &["twin", "-o", "alice"]), &[]));
    write("twin too.key", &fs::read_to_string(dir.path().join("clients/twin.key")).unwrap());
    fs::copy(dir.path().join("clients/secret.key"), dir.path().join("clients/mixed.key_secret")).unwrap();
    write("mixed.key", &certificate(OTHER, &[]));
    fs::create_dir(dir.path().join("taken")).unwrap();
    fs::write(dir.path().join("taken/alice.key_secret"), "another's").unwrap();
    let before = all(dir.path());
    for (arguments, code, text) in [
        (&["ended", "-o", "alice"][..], 1, "is expired"),
        (&["later", "-o", "alice"], 1, "is not valid yet"),
        (&["time", "-o", "alice"], 1, "is not an RFC 3339 time"),
        (&["secret", "-o", "alice"], 1, "contains a secret key"),
        (&["nobody", "-o", "alice"], 1, "Name the server's directory with -d."),
        (&["twin", "-o", "alice"], 1, "other files have the key of twin.key too: twin too.key"),
        (&["mixed", "-o", "clients"], 1, "clients/mixed.key_secret: exists already, with another key"),
        (&["alice", "-o", "taken"], 1, "taken/alice.key_secret: exists already"),
        (&["alice", "-o", "nowhere"], 1, "mkdir nowhere"),
        (&["alice", "--as", "alice"], 2, "--as is the old name"),
        (&["alice", "--as", "a/b"], 2, "contains a path separator"),
        (&["alice", "--as", "time"], 1, "clients/time.key: exists already"),
        (&["alice", "--not-after", "2020-01-01"], 2, "in the past"),
    ] {
        let outcome = run(dir.path(), &[&["rotate", "-d", "clients", "--overlap", "30d"], arguments].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{arguments:?}: {}", outcome.stderr);
        assert_eq!(all(dir.path()), before, "{arguments:?}");
    }
    for overlap in [&[][..], &["--overlap", "-1d"], &["--overlap", "soon"]] {
        assert_eq!(run(dir.path(), &[&["rotate", "alice", "-d", "clients"], overlap].concat()).code, 2, "{overlap:?}");
    }
    assert_eq!(all(dir.path()), before);
}

#[test]
fn the_owner_of_the_files_is_kept() {
    use std::os::unix::fs::{MetadataExt, chown};
    for extra in [&["-o", "alice"][..], &["-o", "alice", "--as", "alice-2"], &["-o", "clients"]] {
        let dir = alice(&[]);
        let clients = dir.path().join("clients");
        // Only root can change the owner.
        if chown(clients.join("alice.key"), Some(12_345), Some(54_321)).is_err() {
            return;
        }
        run(dir.path(), &[&["rotate", "alice", "-d", "clients", "--overlap", "1d"], extra].concat()).ok();
        let public = listed(&clients).into_iter().filter(|name| name.ends_with(".key"));
        let owners: Vec<_> =
            public.map(|name| fs::metadata(clients.join(name)).map(|file| (file.uid(), file.gid())).unwrap()).collect();
        assert_eq!(owners, [(12_345, 54_321); 2], "{extra:?}");
    }
}
