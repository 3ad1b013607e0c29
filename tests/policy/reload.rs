//! Reloads: what is replaced, what stays, and what a bad file changes.

use std::fs;

use zmq_auth::{EventKind, NullAccess, PolicyFile};

use crate::fixture::{Fixture, curve, null, plain};
use crate::harness::{log, wait_until};

const LAB: &str =
    "[addresses]\ndeny = [\"192.0.2.1\"]\n[domain.lab]\nnull = \"deny\"\ncurve = { directory = \"clients\" }\n";

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let fixture = Fixture::new(LAB);
    let [alice] = fixture.clients("clients", ["alice"]);
    let policy = fixture.open();
    let (auth, events) = (policy.authenticator(), policy.authenticator().events(100));
    let is_as_it_was = || {
        assert_eq!(
            (curve(auth, "lab", &alice), null(auth, "lab", "127.0.0.1"), null(auth, "x", "192.0.2.1")),
            (200, 400, 400)
        );
        while events.try_next().is_some_and(|event| event.kind != EventKind::ReloadFailed) {}
    };
    for bad in [
        "[domain.lab]\nnull = \"allow\"\ncurve = { directory = \"nowhere\" }\n",
        "[domain.lab]\nnull = \"allow\"\n[addresses]\ndeny = [\"x\"]\n",
        "[domain.lab]\nnull = \"allow\"\nfoo = 1\n",
        "[domain.lab\n",
        "[domain.lab]\nnull = \"allow\"\n[limits]\nfailures = { count = 0, within = \"1m\", pause = \"5m\" }\n",
    ] {
        fixture.write(bad);
        let error = policy.reload().unwrap_err().to_string();
        is_as_it_was();
        let status = policy.status();
        assert_eq!(status.problems.len(), 1);
        assert_eq!(status.problems[0].file, fixture.path("policy.toml"));
        assert!(error.contains(&status.problems[0].what), "{error}");
        assert!(!log::records(|record| record.text.contains(&status.problems[0].what)).is_empty());
    }
    fs::remove_file(fixture.path("policy.toml")).unwrap();
    assert!(policy.reload().is_err());
    is_as_it_was();
    // If there was no file before, a complete file can't be told from a half-written one.
    fixture.write("[domain.lab]\nnull = \"allow\"\n");
    assert!(policy.reload().unwrap_err().to_string().contains("may be half-written"));
    is_as_it_was();
    let mut summary = None;
    wait_until("it is taken", || policy.reload().is_ok_and(|found| summary.replace(found).is_none()));
    assert_eq!(summary.unwrap().changed, 1);
    assert_eq!(
        (null(auth, "lab", "127.0.0.1"), curve(auth, "lab", &alice), null(auth, "x", "192.0.2.1")),
        (200, 400, 200)
    );
    assert!(policy.status().problems.is_empty() && policy.stores().is_empty());
}

#[test]
fn only_what_the_file_names_is_replaced() {
    let fixture = Fixture::new("[addresses]\nallow = [\"127.0.0.1\"]\n[domain.lab]\nnull = \"deny\"\n");
    let policy = fixture.open();
    let auth = policy.authenticator();
    auth.deny(["198.51.100.1"]).unwrap();
    auth.configure_null("mine", NullAccess::Deny).unwrap();
    auth.configure_plain("lab", [("alice", "correct horse")]).unwrap();
    let mine_stays = || {
        assert_eq!((null(auth, "mine", "127.0.0.1"), null(auth, "x", "198.51.100.1")), (400, 400));
        assert_eq!(plain(auth, "lab", "alice", "correct horse"), 200);
    };
    mine_stays();
    assert_eq!((null(auth, "lab", "127.0.0.1"), null(auth, "x", "192.0.2.1")), (400, 400));
    // What it no longer names ends.
    fixture.write("[domain.other]\nnull = \"deny\"\n");
    let summary = policy.reload().unwrap();
    assert_eq!((summary.added, summary.changed, summary.removed), (1, 0, 2));
    mine_stays();
    assert_eq!(
        (null(auth, "lab", "127.0.0.1"), null(auth, "x", "192.0.2.1"), null(auth, "other", "192.0.2.1")),
        (200, 200, 400)
    );
    // The file names something that the program had configured: from then on it belongs to the file.
    fixture.write("[addresses]\ndeny = []\n[domain.mine]\nnull = \"allow\"\n");
    policy.reload().unwrap();
    assert_eq!((null(auth, "mine", "127.0.0.1"), null(auth, "x", "198.51.100.1")), (200, 200));
    assert_eq!(plain(auth, "lab", "alice", "correct horse"), 200);
    fixture.write("[revocation]\nchecks = false\n");
    policy.reload().unwrap();
    assert_eq!(null(auth, "mine", "127.0.0.1"), 200);
    // Nothing has changed, nothing is replaced.
    auth.configure_null("mine", NullAccess::Deny).unwrap();
    assert_eq!(policy.reload().unwrap().removed, 0);
    assert_eq!(null(auth, "mine", "127.0.0.1"), 400);
}

#[test]
fn failures_stay_counted() {
    let text = |count, pause| {
        format!(
            "[limits]\nfailures = {{ count = {count}, within = \"1m\", pause = \"{pause}\" }}\n\
             [domain.shop]\nplain = {{ clear_passwords = {{ alice = \"correct horse\" }} }}\n"
        )
    };
    let fixture = Fixture::new(&text(3, "5m"));
    let policy = fixture.open();
    let auth = policy.authenticator();
    assert_eq!((plain(auth, "shop", "alice", "a"), plain(auth, "shop", "alice", "b")), (400, 400));
    fixture.write(&text(3, "6m"));
    policy.reload().unwrap();
    assert_eq!(plain(auth, "shop", "alice", "c"), 400);
    assert_eq!(plain(auth, "shop", "alice", "correct horse"), 300, "the third failure began a pause");
    fixture.write(&text(30, "5m"));
    policy.reload().unwrap();
    assert_eq!(plain(auth, "shop", "alice", "correct horse"), 300, "a pause lasts");
    fixture.write("[domain.shop]\nplain = { clear_passwords = { alice = \"correct horse\" } }\n");
    policy.reload().unwrap();
    assert_eq!(plain(auth, "shop", "alice", "correct horse"), 200, "no limit any more");
}

#[test]
fn the_stores_are_reloaded_with_it() {
    let fixture = Fixture::new(LAB);
    let [alice, bob] = fixture.clients("clients", ["alice", "bob"]);
    let policy = fixture.open();
    let auth = policy.authenticator();
    assert_eq!((curve(auth, "lab", &alice), curve(auth, "lab", &bob)), (200, 200));
    fs::remove_file(fixture.path("clients/bob.key")).unwrap();
    policy.reload().unwrap();
    assert_eq!((curve(auth, "lab", &alice), curve(auth, "lab", &bob)), (200, 400));
    // The policy file is bad, but a revocation in the directory still applies.
    fixture.write("[domain.lab\n");
    fs::remove_file(fixture.path("clients/alice.key")).unwrap();
    policy.reload().unwrap_err();
    assert_eq!(curve(auth, "lab", &alice), 400);
    // A missing directory is an error, and its keys stay as they were.
    let [carol] = fixture.clients("clients", ["carol"]);
    fixture.write(LAB);
    policy.reload().unwrap();
    fs::remove_dir_all(fixture.path("clients")).unwrap();
    assert!(policy.reload().unwrap_err().to_string().contains("clients"));
    assert_eq!(curve(auth, "lab", &carol), 200);
}

#[test]
fn half_a_file_is_not_taken() {
    let fixture = Fixture::new(LAB);
    fixture.clients("clients", []);
    let policy = fixture.open();
    // The rest would deny more.
    fs::write(fixture.path("policy.toml"), "[domain.lab]\nnull = \"allow\"").unwrap();
    let error = policy.reload().unwrap_err().to_string();
    assert!(error.contains(":2:") && error.contains("no line feed"), "{error}");
    assert_eq!(null(policy.authenticator(), "lab", "127.0.0.1"), 400);
    assert!(policy.status().behind_since.is_some());
    fixture.write("[domain.lab]\nnull = \"allow\"\n");
    policy.reload().unwrap();
    assert_eq!(null(policy.authenticator(), "lab", "127.0.0.1"), 200);
    assert!(policy.status().behind_since.is_none());
}

#[test]
fn a_file_that_is_cut_off_opens_nothing() {
    let fixture = Fixture::new("[addresses]\ndeny = [\"127.0.0.0/8\"]\n[domain.lab]\nnull = \"deny\"\n");
    let policy = fixture.open();
    let auth = policy.authenticator();
    let path = fixture.path("policy.toml");
    // Written in place: empty, or truncated at the end of a line.
    for cut in ["", "# nothing\n", "[addresses]\ndeny = [\"127.0.0.0/8\"]\n"] {
        fs::write(&path, cut).unwrap();
        policy.reload().unwrap_err();
        assert_eq!((null(auth, "lab", "192.0.2.1"), null(auth, "x", "127.0.0.1")), (400, 400), "{cut:?}");
        assert!(policy.status().problems.len() == 1, "{cut:?}");
    }
    // Once it is left unchanged, it counts.
    wait_until("the rest is taken", || policy.reload().is_ok());
    assert_eq!((null(auth, "lab", "192.0.2.1"), null(auth, "x", "127.0.0.1")), (200, 400));
    // An empty file is never intended.
    fixture.write("");
    policy.reload().unwrap_err();
    assert_eq!(null(auth, "x", "127.0.0.1"), 400);
    assert!(zmq_auth::PolicyFile::open(&path).unwrap_err().to_string().contains("configures nothing"));
}

/// A value that uses the file when it is dropped.
struct UsesThePolicy(PolicyFile);

impl Drop for UsesThePolicy {
    fn drop(&mut self) {
        assert_eq!(self.0.stores().len(), 0);
        let _ = self.0.reload();
    }
}

#[test]
fn a_replaced_callback_may_use_the_file_when_it_is_dropped() {
    let fixture = Fixture::new("[domain.lab]\nnull = \"deny\"\n");
    let policy = fixture.open();
    let captured = UsesThePolicy(policy.clone());
    policy.authenticator().configure_null_callback("mine", move |_| captured.0.path().exists()).unwrap();
    fixture.write("[domain.mine]\nnull = \"deny\"\n");
    let reloading = policy.clone();
    let reload = std::thread::spawn(move || reloading.reload().map(|summary| summary.added));
    wait_until("it has ended", || reload.is_finished());
    assert_eq!(reload.join().unwrap().unwrap(), 1);
    assert_eq!(null(policy.authenticator(), "mine", "127.0.0.1"), 400);
}

/// Decisions while the file is reloaded: each by the old policy or by the new one.
#[test]
fn no_decision_sees_half_of_a_change() {
    let even = "[domain.a]\nnull = \"deny\"\nplain = { clear_passwords = { even = \"password\" } }\n[addresses]\ndeny = [\"192.0.2.1\"]\n";
    let odd = "[domain.\"*\"]\nnull = \"deny\"\nplain = { clear_passwords = { odd = \"password\" } }\n[addresses]\ndeny = [\"192.0.2.0/31\"]\n";
    let fixture = Fixture::new(even);
    let policy = fixture.open();
    let auth = policy.authenticator();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let decisions = scope.spawn(|| {
            let mut count = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Acquire) {
                // Both policies deny it.
                assert_eq!((null(auth, "a", "127.0.0.1"), null(auth, "b", "192.0.2.1")), (400, 400));
                count += 1;
            }
            count
        });
        for round in 0..200 {
            fixture.write(if round % 2 == 0 { odd } else { even });
            policy.reload().unwrap();
            let is_odd = round % 2 == 0;
            assert_eq!(plain(auth, "a", "odd", "password") == 200, is_odd);
            assert_eq!(plain(auth, "a", "even", "password") == 200, !is_odd);
        }
        stop.store(true, std::sync::atomic::Ordering::Release);
        assert!(decisions.join().unwrap() > 100);
    });
}
