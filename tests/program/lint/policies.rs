//! Policy files, and the files that they name.

use zmq_auth::Certificate;

use super::Files;

#[test]
fn a_good_policy_is_checked_with_all_that_it_names() {
    let files = Files::new();
    files.public("clients", "alice", &Certificate::generate().unwrap());
    files.pair("clients", "bob", &Certificate::generate().unwrap());
    files.write("users", "alice=correct horse\n", 0o644);
    let policy = "[domain.lab]\ncurve = { directory = \"clients\" }\nplain = { file = \"users\" }\n";
    files.write("policy.toml", policy, 0o644);
    let outcome = crate::run::run(files.path(), &["lint", "policy.toml", "--json"]);
    let report = outcome.json();
    let found: Vec<_> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            let file = problem["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (file, problem["code"].as_str().unwrap().to_owned())
        })
        .collect();
    assert!(found.contains(&("bob.key_secret".to_owned(), "secret-file".to_owned())), "{report:#}");
    assert!(found.contains(&("users".to_owned(), "loose-mode".to_owned())), "{report:#}");
    // Given twice, checked once.
    let twice = crate::run::run(files.path(), &["lint", "policy.toml", "policy.toml", "--json"]).json();
    assert_eq!(twice["files"], report["files"]);
}

#[test]
fn every_problem_of_a_bad_policy_has_its_line() {
    let files = Files::new();
    let policy = "[addresses]\nallow = [\"localhost\"]\n[domain.lab]\ncurve = { directory = \"nowhere\" }\n";
    files.write("policy.toml", policy, 0o644);
    let outcome = crate::run::run(files.path(), &["lint", "policy.toml"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stdout.contains("policy.toml:2: error: address rule \"localhost\""), "{}", outcome.stdout);
    assert!(
        outcome.stdout.contains("policy.toml:4: error: ") && outcome.stdout.contains("[bad-policy]"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.ends_with("1 file: 2 errors, 0 warnings\n"), "{}", outcome.stdout);
    files.write("policy.toml", "[domain.lab]\nfoo = 1\n", 0o644);
    let outcome = crate::run::run(files.path(), &["lint", "policy.toml"]);
    assert!(outcome.stdout.contains("policy.toml:2: error: unknown field `foo`"), "{}", outcome.stdout);
}

#[test]
fn clear_passwords_that_others_can_read_are_errors() {
    let files = Files::new();
    files.write("policy.toml", "[domain.lab]\nplain = { clear_passwords = { alice = \"correct horse\" } }\n", 0o644);
    let outcome = crate::run::run(files.path(), &["lint", "policy.toml"]);
    assert!(outcome.code == 1 && outcome.stdout.contains("[loose-mode]"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("correct"), "{}", outcome.stdout);
    files.chmod("policy.toml", 0o600);
    assert_eq!(crate::run::run(files.path(), &["lint", "policy.toml"]).code, 0);
}

#[test]
fn a_directory_that_others_may_change_is_an_error_for_a_policy() {
    let files = Files::new();
    files.write("etc/policy.toml", "[domain.\"*\"]\nnull = \"deny\"\n", 0o644);
    files.chmod("etc", 0o777);
    assert_eq!(files.codes(&["etc/policy.toml"], 1), ["etc loose-mode"]);
    files.chmod("etc", 0o755);
    assert!(files.codes(&["etc/policy.toml"], 0).is_empty());
}

#[test]
fn null_in_unnamed_domains_is_warned_about() {
    let files = Files::new();
    let deny = "null = \"deny\"\n";
    for (policy, is_open) in [
        ("[revocation]\nchecks = false\n".to_owned(), true),
        (format!("[domain.lab]\n{deny}"), true),
        (format!("[addresses]\nallow = [\"10.0.0.0/8\"]\n[domain.lab]\n{deny}"), true),
        (format!("[domain.\"*\"]\n{deny}"), false),
    ] {
        files.write("policy.toml", &policy, 0o644);
        let found = files.lint(&["policy.toml"], 0);
        let codes: Vec<_> = found.iter().map(super::Found::shown).collect();
        assert_eq!(codes, if is_open { &["policy.toml null-open?"][..] } else { &[] }, "{policy}");
        assert!(found.iter().all(|problem| problem.text.ends_with("add null = \"deny\" to [domain.\"*\"]")));
    }
}

/// A FIFO without a writer: opening it for reading would block for ever.
#[test]
fn a_fifo_is_not_read() {
    let files = Files::new();
    let fifo = files.path().join("policy.toml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let run = std::process::Command::new("timeout")
        .args(["20".as_ref(), crate::run::program().as_os_str(), "lint".as_ref(), fifo.as_os_str()])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stdout).contains("policy.toml: error: "), "{run:?}");
}
