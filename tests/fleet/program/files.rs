//! Importing files into a bucket, and exporting them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zmq_auth::{Certificate, Metadata, PublicKey};

use super::{Place, strings};
use crate::run::{run, run_with_input};

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

    // Restoring and overwriting entries needs --force.
    let imported = place.json("import", &[&import[..], &["--force"]].concat(), 0);
    assert_eq!((&imported["added"], &imported["changed"]), (&2.into(), &1.into()), "{imported}");
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
