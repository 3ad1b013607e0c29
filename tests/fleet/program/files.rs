//! Importing files into a bucket, and exporting them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use zmq_auth::{Certificate, Metadata, PublicKey};

use super::relay::Relay;
use super::{Place, strings};
use crate::run::{run, run_with_input};
use crate::{DOMAIN, raw};

/// A directory with two clients, and a password file with two users.
fn files(place: &Place) {
    let directory = place.directory.path();
    fs::create_dir(place.path("clients")).unwrap();
    for arguments in [&["alice", "-m", "name=Alice Liddell"] as &[_], &["bob", "--not-after", "2999-01-01"]] {
        place.keygen(arguments);
        run(directory, &["add", "clients", &format!("{}.key", arguments[0])]).ok();
    }
    for (user, password) in [("carol", b"correct horse" as &[u8]), ("dave", b"battery staple")] {
        run_with_input(directory, &["passwd", "passwords", user, "--stdin"], password).ok();
    }
}

/// What a server reads in a directory, without the file names.
fn certificates(directory: &Path) -> BTreeMap<PublicKey, Metadata> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "key"));
    let certificates = files.map(|file| Certificate::load(file).unwrap());
    certificates.map(|certificate| (certificate.public_key(), certificate.metadata().clone())).collect()
}

#[test]
fn files_go_into_a_bucket_and_come_out_as_they_were() {
    let place = Place::new();
    files(&place);
    let import = ["clients", "--passwords", "passwords"];
    let imported = place.json("import", &import, 0);
    assert_eq!((&imported["added"], &imported["unchanged"]), (&4.into(), &0.into()), "{imported}");
    let imported = place.json("import", &import, 0);
    assert_eq!((&imported["added"], &imported["unchanged"]), (&0.into(), &4.into()), "{imported}");

    let export = ["out", "--passwords", "out-passwords"];
    let exported = place.json("export", &export, 0);
    assert_eq!(strings(&exported["added"]), ["Alice Liddell.key", "bob.key", "carol", "dave"]);
    let exported = place.json("export", &export, 0);
    assert_eq!((&exported["unchanged"], strings(&exported["changed"])), (&4.into(), vec![]), "{exported}");
    let mut expected = certificates(&place.path("clients"));
    // Entries have no file name, so the file's name was added to metadata without one.
    let bob = PublicKey::load(place.path("bob.key")).unwrap();
    expected.get_mut(&bob).unwrap().insert("name", "bob").unwrap();
    assert_eq!(certificates(&place.path("out")), expected);
    assert_eq!(fs::read(place.path("out-passwords")).unwrap(), fs::read(place.path("passwords")).unwrap());
    let mode = |name| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("out-passwords"), mode("out/bob.key")), (0o600, 0o644));
    // A server accepts the files.
    let policy =
        "[domain.lab]\ncurve = { directory = \"out\" }\nplain = { file = \"out-passwords\" }\nnull = \"deny\"\n";
    fs::write(place.path("files.toml"), policy).unwrap();
    let client = ["--domain", "lab", "--address", "127.0.0.1", "--curve", "bob.key"];
    run(place.directory.path(), &[&["explain", "files.toml"], &client[..]].concat()).ok();
}

#[test]
fn an_old_directory_brings_nobody_back_and_an_export_takes_out_who_is_gone() {
    let place = Place::new();
    files(&place);
    let import = ["clients", "--passwords", "passwords"];
    place.run("import", &import).ok();
    place.run("export", &["out", "--passwords", "out-passwords"]).ok();
    place.run("revoke", &["bob"]).ok();
    place.run("passwd", &["dave", "--delete"]).ok();
    place.run("add", &["alice.key", "--name", "alice", "--force"]).ok();

    let imported = place.json("import", &import, 1);
    assert_eq!((&imported["added"], &imported["changed"], &imported["unchanged"]), (&0.into(), &0.into(), &1.into()));
    let kept = imported["kept"].to_string();
    assert!(kept.matches("revoked or deleted at").count() == 2 && kept.contains("with name=alice"), "{kept}");
    let listed = place.json("ls", &[], 0);
    assert_eq!((listed["keys"].as_array().unwrap().len(), listed["users"].as_array().unwrap().len()), (1, 1));

    let export = ["out", "--passwords", "out-passwords"];
    let exported = place.json("export", &export, 1);
    assert_eq!(strings(&exported["left"]), ["bob.key", "dave"], "{exported}");
    assert_eq!(strings(&exported["changed"]), ["Alice Liddell.key"]);
    let exported = place.json("export", &[&export[..], &["--prune"]].concat(), 0);
    assert_eq!(strings(&exported["removed"]), ["bob.key", "dave"], "{exported}");
    assert!(!place.path("out/bob.key").exists() && place.path("out/revoked/bob.key").exists());
    assert!(!fs::read_to_string(place.path("out-passwords")).unwrap().contains("dave"));

    // When the last one is revoked, too, the domain is empty, but it had them.
    place.run("revoke", &["alice"]).ok();
    place.run("passwd", &["carol", "--delete"]).ok();
    let exported = place.json("export", &[&export[..], &["--prune"]].concat(), 0);
    assert_eq!(strings(&exported["removed"]), ["Alice Liddell.key", "carol"], "{exported}");
    place.run("add", &["alice.key", "--name", "alice", "--force"]).ok();

    // Restoring and overwriting entries needs --force.
    let imported = place.json("import", &[&import[..], &["--force"]].concat(), 0);
    assert_eq!((&imported["added"], &imported["changed"]), (&3.into(), &1.into()), "{imported}");
}

#[test]
fn a_password_file_keeps_its_comments_its_order_and_its_link() {
    let place = Place::new();
    files(&place);
    place.run("import", &["--passwords", "passwords"]).ok();
    let hashes = fs::read_to_string(place.path("passwords")).unwrap();
    let [carol, dave] = hashes.lines().collect::<Vec<_>>()[..] else { panic!("two users") };
    fs::create_dir(place.path("etc")).unwrap();
    let old = format!("# first\r\n{dave}\r\n\r\n# mallory=once\r\nmallory=in the clear\r\ncarol=another\r\n# last");
    place.secret_file("etc/users", &old);
    symlink("etc/users", place.path("link")).unwrap();

    let exported = place.json("export", &["--passwords", "link", "--prune"], 0);
    assert_eq!((strings(&exported["removed"]), strings(&exported["changed"])), (vec!["mallory"], vec!["carol"]));
    let new = format!("# first\r\n{dave}\r\n\r\n# mallory=once\r\n{carol}\r\n# last");
    assert_eq!(fs::read_to_string(place.path("etc/users")).unwrap(), new);
    assert_eq!(fs::read_link(place.path("link")).unwrap(), Path::new("etc/users"));
    // What was there before is kept, for its owner alone.
    let kept = Path::new(exported["old_passwords"].as_str().unwrap());
    assert!(kept.ends_with("etc/users.old"), "{exported}");
    assert_eq!(fs::read_to_string(kept).unwrap(), old);
    assert_eq!(fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    // Nothing changes: the copy stays.
    let exported = place.json("export", &["--passwords", "link", "--prune"], 0);
    assert_eq!((&exported["unchanged"], &exported["old_passwords"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!(fs::read_to_string(kept).unwrap(), old);

    // The lock is on the directory of the file itself, as that of `passwd`.
    let lock = fs::File::open(place.path("etc")).unwrap();
    lock.lock().unwrap();
    let error = place.refused("export", &["--passwords", "link", "--prune"]);
    assert!(error.contains("etc: is locked by another program"), "{error}");
}

#[test]
fn a_wrong_domain_or_an_entry_that_cannot_be_read_prunes_nothing() {
    let place = Place::new();
    files(&place);
    place.run("import", &["clients", "--passwords", "passwords"]).ok();
    let before = (certificates(&place.path("clients")), fs::read(place.path("passwords")).unwrap());
    let options = ["--nats", &place.node.url(), "--bucket", "clients", "--login", "admin.login", "--prune"];
    for rest in [&["clients"] as &[_], &["--passwords", "passwords"]] {
        let outcome = run(place.directory.path(), &[&["export", "--domain", "lob"], &options[..], rest].concat());
        assert!(outcome.code == 1 && outcome.stderr.contains("is empty, and never had what"), "{}", outcome.stderr);
    }
    // Of a later version, or garbage.
    let name = raw::key_name(DOMAIN, PublicKey::load(place.path("alice.key")).unwrap().as_bytes());
    raw::put(&place.node.url(), &name, r#"{"format":2}"#);
    let error = place.refused("export", &["clients", "--passwords", "passwords", "--prune"]);
    assert!(error.contains("can't be read; nothing was changed") && error.contains(&name), "{error}");
    assert_eq!((certificates(&place.path("clients")), fs::read(place.path("passwords")).unwrap()), before);
    // Without --prune, nobody is removed, and it is reported.
    let exported = place.json("export", &["clients", "--passwords", "passwords"], 1);
    assert!(exported["problems"].to_string().contains("update the server"), "{exported}");
}

/// A directory with this many certificates.
fn many(place: &Place, count: usize) {
    fs::create_dir(place.path("many")).unwrap();
    for number in 0..count {
        let certificate = Certificate::generate().unwrap();
        certificate.save_public(place.path(&format!("many/client-{number}.key"))).unwrap();
    }
}

#[test]
fn an_import_writes_on_several_connections() {
    let place = Place::new();
    many(&place, 8 * 16);
    let relay = Relay::to(place.node.port(), usize::MAX);
    let imported = place.admin_by(&relay.url()).run("import", &["many", "--json"]).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&imported).unwrap()["added"], 128);
    assert_eq!(relay.writing_connections(), 8);
    assert_eq!(place.json("ls", &[], 0)["keys"].as_array().unwrap().len(), 128);
}

#[test]
fn an_import_that_nats_cuts_off_says_what_is_done_and_is_completed_by_the_next() {
    let place = Place::new();
    many(&place, 8 * 16);
    // After 20 writes, the connection is cut.
    let relay = Relay::to(place.node.port(), 20);
    let outcome = place.admin_by(&relay.url()).run("import", &["many", "--json"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("Repeat the command"), "{}", outcome.stderr);
    let imported = outcome.json();
    let number = |field: &str| imported[field].as_u64().unwrap();
    let failed = imported["failed"].as_array().unwrap();
    assert!(number("added") <= 20 && !failed.is_empty() && failed[0]["why"].as_str().unwrap().contains("NATS"));
    assert_eq!(number("added") + number("untried") + failed.len() as u64, 128, "{imported}");
    // One without an answer may be written or not; no other is.
    let written = place.json("ls", &[], 0)["keys"].as_array().unwrap().len() as u64;
    assert!((number("added")..=number("added") + failed.len() as u64).contains(&written), "{written}: {imported}");
    let imported = place.json("import", &["many"], 0);
    assert_eq!((imported["unchanged"].as_u64(), imported["added"].as_u64()), (Some(written), Some(128 - written)));
}

#[test]
fn of_two_imports_at_once_neither_overwrites_what_the_other_has_written() {
    let place = Place::new();
    many(&place, 64);
    // The same keys under other names.
    fs::create_dir(place.path("others")).unwrap();
    for number in 0..64 {
        let text = fs::read(place.path(&format!("many/client-{number}.key"))).unwrap();
        fs::write(place.path(&format!("others/other-{number}.key")), text).unwrap();
    }
    let admin = place.admin();
    let [one, other] = thread::scope(|scope| {
        let import = |directory| admin.run("import", &[directory, "--json"]);
        ["many", "others"].map(|directory| scope.spawn(move || import(directory))).map(|thread| thread.join().unwrap())
    });
    let listed = place.json("ls", &[], 0);
    let keys = listed["keys"].as_array().unwrap();
    let named =
        |word: &str| keys.iter().filter(|key| key["metadata"]["name"].as_str().unwrap().starts_with(word)).count();
    for (outcome, word) in [(one, "client"), (other, "other")] {
        let imported = outcome.json();
        assert_eq!(imported["added"], named(word), "each added exactly those that have its name: {imported}");
        assert_eq!(imported["kept"].as_array().unwrap().len(), 64 - named(word), "{imported}");
    }
    assert_eq!(keys.len(), 64);
}

#[test]
fn nothing_is_written_where_not_all_can_be() {
    let place = Place::new();
    files(&place);
    let passwords = fs::read_to_string(place.path("passwords")).unwrap();
    place.secret_file("passwords", &format!("{passwords}eve=in the clear\n"));
    let error = place.refused("import", &["clients", "--passwords", "passwords"]);
    assert!(error.contains("the password of eve is not hashed") && !error.contains("in the clear"), "{error}");
    fs::copy(place.path("alice.key_secret"), place.path("clients/secret.key")).unwrap();
    fs::write(place.path("clients/broken.key"), "nothing").unwrap();
    let error = place.refused("import", &["clients"]);
    for says in ["secret.key: has a secret key", "broken.key: ", "nothing was written"] {
        assert!(error.contains(says), "{error}");
    }
    let listed = place.json("ls", &[], 0);
    assert_eq!((&listed["keys"], &listed["users"]), (&serde_json::json!([]), &serde_json::json!([])));
}
