//! User ids from a directory: the file's name, or the certificate's metadata.

use std::fs;

use zmq_auth::{Authenticator, KeyDirectory, PublicKey, UserId};

use crate::files::{LOG, Store, certificate, key};
use crate::harness::{domain, log, zap};

fn user_id(auth: &Authenticator, domain: &str, key: &PublicKey) -> String {
    let reply = auth.handle_zap_message(&zap::request(domain, "127.0.0.1", "CURVE", &[key.as_bytes()])).unwrap();
    assert_eq!(zap::status_of(&reply), 200);
    String::from_utf8(reply[4].clone()).unwrap()
}

fn store() -> Store {
    Store::of(|dir| {
        fs::write(dir.join("alice.key"), certificate(&key(1), &[("name", "Alice Smith"), ("x", "y")])).unwrap();
        fs::write(dir.join("bob.smith.key"), certificate(&key(2), &[])).unwrap();
        fs::write(dir.join("carol.key"), certificate(&key(3), &[("name", "")])).unwrap();
    })
}

#[test]
fn the_file_name_or_a_metadata_value_is_the_user_id_of_both_kinds_of_directory() {
    let _log = LOG.write();
    let store = store();
    let (auth, once) = (&store.auth, domain("once"));
    let ids = |domain: &str| [1, 2, 3].map(|number| user_id(auth, domain, &key(number)));
    let keys = [1, 2, 3].map(|number| key(number).to_string());
    assert_eq!(ids(&store.domain), keys);
    auth.configure_curve(&once, store.dir.path()).unwrap();
    auth.curve_user_id_from(UserId::FileName);
    assert_eq!(ids(&store.domain), ["alice", "bob.smith", "carol"], "configured before");
    assert_eq!(ids(&once), keys, "its names are forgotten");
    auth.configure_curve(&once, store.dir.path()).unwrap();
    assert_eq!(ids(&once), ["alice", "bob.smith", "carol"]);
    let line = format!("allowed CURVE in domain \"{}\" from 127.0.0.1, key \"{}\", user id \"alice\"", once, key(1));
    assert!(!log::records(|record| record.text == line).is_empty(), "{line}");
    assert!(auth.remove_curve_key(&once, &key(2)).unwrap());
    auth.add_curve_key(&once, key(4)).unwrap();
    assert_eq!(user_id(auth, &once, &key(4)), key(4).to_string(), "of no file");

    // Configured afterwards, and read again.
    let live = domain("live");
    let opened = KeyDirectory::open(&store.dir).unwrap();
    auth.configure_curve_store(&live, &opened).unwrap();
    assert_eq!(ids(&live), ["alice", "bob.smith", "carol"]);
    fs::rename(store.path("alice.key"), store.path("dave.key")).unwrap();
    fs::write(store.path("erin.key"), certificate(&key(5), &[])).unwrap();
    opened.reload().unwrap();
    assert_eq!([1, 2, 5].map(|number| user_id(auth, &live, &key(number))), ["dave", "bob.smith", "erin"]);

    auth.curve_user_id_from(UserId::Metadata("name".into()));
    let unnamed = |number| key(number).to_string();
    assert_eq!(ids(&store.domain), ["Alice Smith".to_owned(), unnamed(2), unnamed(3)]);
    auth.curve_user_id_from(UserId::Metadata("none".into()));
    assert_eq!(ids(&store.domain), keys);
    auth.curve_user_id(|_| "a map".into());
    assert_eq!(ids(&store.domain), ["a map"; 3]);
    auth.curve_user_id_from(UserId::Key);
    assert_eq!(ids(&store.domain), keys);
}

#[test]
fn a_refused_key_is_quoted_in_the_log() {
    let _log = LOG.write();
    let store = store();
    assert!(!store.accepts(&key(9)));
    let line = format!("denied CURVE in domain \"{}\" from 127.0.0.1, key \"{}\": unknown key", store.domain, key(9));
    assert!(!log::records(|record| record.text == line).is_empty(), "{line}");
}
