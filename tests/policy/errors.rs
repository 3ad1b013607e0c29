//! Errors in a file have a position, and never quote a value.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use zmq_auth::{Error, PolicyFile};

use crate::fixture::Fixture;
use crate::harness::log;

#[test]
fn each_problem_has_its_line_and_column() {
    let cases: &[(&str, (usize, usize), &str)] = &[
        ("[addresses]\nalow = []\n", (2, 1), "unknown field `alow`, expected one of `allow`"),
        ("[adresses]\n", (1, 2), "unknown field `adresses`"),
        ("[addresses]\nallow = [\"10.0.0.7\", \"localhost\"]\n", (2, 22), "not an IP address"),
        ("[addresses]\nallow = []\n", (2, 9), "an empty allow list would refuse nobody"),
        ("[addresses]\nallow_ipc = []\n", (2, 13), "an empty allow list would refuse nobody"),
        ("[addresses]\nallow = \"10.0.0.7\"\n", (2, 9), "expected a sequence"),
        ("[limits]\nfailures = { count = 0, within = \"1m\", pause = \"5m\" }\n", (2, 12), "must be at least 1"),
        ("[limits]\nfailures = { count = 5, within = \"1m\" }\n", (2, 12), "missing field `pause`"),
        ("[limits]\nfailures = { count = 5, within = \"soon\", pause = \"5m\" }\n", (2, 34), "expected a time such as"),
        ("[limits]\nfailures = { count = 5, within = \"-1m\", pause = \"5m\" }\n", (2, 34), "expected a time such as"),
        ("[limits]\nfailures = { count = 5, within = \"2d\", pause = \"5m\" }\n", (2, 34), "expected a time such as"),
        ("[limits]\nfailures = { count = 5, within = \"25h\", pause = \"5m\" }\n", (2, 12), "must be 1 s to 1 day"),
        ("[limits]\ncallbacks = { at_once = 0 }\n", (2, 13), "must be 1 to 4,096"),
        ("[limits]\ncallbacks = { async_at_once = 0 }\n", (2, 13), "must be 1 to 1,000,000"),
        ("[limits]\nmessage_size = 5\n", (2, 16), "must be 4 KiB"),
        ("[domain.\"\"]\nnull = \"deny\"\n", (1, 9), "a ZAP domain has 1 to 255 bytes"),
        ("[domain.lab]\n", (1, 9), "the domain names no mechanism"),
        ("[domain.lab]\nnull = \"deny\"\ngssapi = false\n[domain.\"*\"]\ngssapi = true\n", (3, 10), "has no effect"),
        ("[domain.lab]\nnull = \"maybe\"\n", (2, 8), "expected `allow` or `deny`"),
        ("[domain.lab]\nplain = {}\n", (2, 9), "must name one of file and clear_passwords"),
        ("[domain.lab]\ncurve = {}\n", (2, 9), "must name one of directory, keys and any = true"),
        (
            "[domain.lab]\ncurve = { any = true, keys = [] }\n",
            (2, 9),
            "must name one of directory, keys and any = true",
        ),
        ("[domain.lab]\ncurve = { keys = [\"rq:rM\"] }\n", (2, 19), "not a CURVE key"),
        ("[domain.lab]\ncurve = { any = true, user_id = \"name\" }\n", (2, 33), "user_id is only for a directory"),
        ("[domain.lab]\ncurve = { directory = \"nowhere\" }\n", (2, 9), "nowhere: cannot"),
        ("[domain.lab]\nplain = { file = \"nowhere\" }\n", (2, 9), "nowhere: cannot open: No such file"),
        ("[domain.lab]\nnull = \"deny\"\n[domain.lab]\n", (3, 9), "duplicate key"),
        ("[limits]\nmessage_size = \"16 EiB\"\n", (2, 16), "to 8 EiB"),
        ("[domain.lab\n", (1, 12), "unclosed table"),
    ];
    for (policy, expected, text) in cases {
        let fixture = Fixture::new(policy);
        let error = PolicyFile::open(fixture.path("policy.toml")).unwrap_err();
        let Error::PolicyFile { place, problem, .. } = &error else { panic!("{policy}: {error:?}") };
        assert!(*place == Some(*expected) && problem.contains(text), "{policy}: {error}");
        let problems = PolicyFile::problems(fixture.path("policy.toml"));
        assert!(problems.len() == 1 && problems[0].to_string() == error.to_string(), "{problems:?}");
    }
    let fixture = Fixture::new("[domain.a]\n[domain.b]\ngssapi = false\n[addresses]\ndeny = [\"x\"]\n");
    assert_eq!(PolicyFile::problems(fixture.path("policy.toml")).len(), 3, "each domain without a mechanism, too");
    let escaped = Fixture::new("\"\\u001b[31m\" = 1\n");
    let error = PolicyFile::open(escaped.path("policy.toml")).unwrap_err().to_string();
    assert!(error.contains("unknown field `\\x1b[31m`"), "{error}");
    fs::write(fixture.path("policy.toml"), b"# \xff\n").unwrap();
    let error = PolicyFile::open(fixture.path("policy.toml")).unwrap_err();
    assert!(error.to_string().ends_with("policy.toml: is not UTF-8"), "{error}");
    let missing = PolicyFile::problems(fixture.path("missing.toml"));
    assert!(matches!(missing[..], [Error::Io { .. }]), "{missing:?}");
}

#[test]
fn all_problems_are_found_at_once() {
    let fixture = Fixture::new(
        "[addresses]\nallow = [\"a\", \"b\"]\n[limits]\nmessage_size = 1\n\
         [domain.lab]\ncurve = { directory = \"c\" }\nplain = { file = \"d\" }\n[domain.\"\"]\nnull = \"deny\"\n",
    );
    let problems = PolicyFile::problems(fixture.path("policy.toml"));
    let place = |problem: &Error| if let Error::PolicyFile { place, .. } = problem { *place } else { None };
    let lines: Vec<_> = problems.iter().map(|problem| place(problem).unwrap().0).collect();
    assert_eq!(lines, [2, 2, 4, 6, 7, 8]);
    let first = PolicyFile::open(fixture.path("policy.toml")).unwrap_err();
    assert_eq!(first.to_string(), problems[0].to_string());
}

/// Somebody may have put a password anywhere by mistake.
#[test]
fn no_value_is_quoted() {
    const SECRET: &str = "hunter2, expected nothing";
    let places = [
        "[domain.lab]\nplain = \"SECRET\"\n",
        "[domain.lab]\nplain = { clear_passwords = \"SECRET\" }\n",
        "[domain.lab]\nplain = { clear_passwords = [\"SECRET\"] }\n",
        "[domain.lab]\nnull = \"SECRET\"\n",
        "[domain.lab]\ngssapi = \"SECRET\"\n",
        "[domain.lab]\ncurve = { keys = [\"SECRET\"] }\n",
        "[domain.lab]\ncurve = { directory = \"c\", user_id = \"SECRET\" }\n",
        "[limits]\nmessage_size = \"SECRET\"\n",
        "[limits]\nfailures = { count = \"SECRET\" }\n",
        "[limits]\nfailures = { count = 1, within = \"SECRET\", pause = \"1m\" }\n",
        "[domain.lab]\nplain = { clear_passwords = { alice = \"SECRET } }\n",
        "[domain.lab]\nplain = { clear_passwords = { alice = \"SECRET\" \"SECRET\" } }\n",
        "[domain.lab]\nplain = { clear_passwords = { alice = SECRET } }\n",
        "[domain.lab]\nplain = { clear_passwords = { alice = \"{SSHA}SECRET\" } }\n",
    ];
    for policy in places {
        let fixture = Fixture::new(&policy.replace("SECRET", SECRET));
        let error = PolicyFile::open(fixture.path("policy.toml")).unwrap_err();
        for text in [
            error.to_string(),
            format!("{error:?}"),
            format!("{:?}", PolicyFile::problems(fixture.path("policy.toml"))),
        ] {
            assert!(!text.contains("hunter2"), "{policy}: {text}");
        }
    }
}

#[test]
fn clear_passwords_that_others_can_read_are_warned_about() {
    let fixture = Fixture::new("[domain.warned]\nplain = { clear_passwords = { alice = \"correct horse\" } }\n");
    let path = fixture.path("policy.toml");
    let warnings = || {
        log::records(|record| {
            record.text.contains("contains passwords") && record.text.contains(&*path.to_string_lossy())
        })
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let policy = fixture.open();
    assert!(warnings().is_empty());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    policy.reload().unwrap();
    policy.reload().unwrap();
    assert_eq!(warnings().len(), 1, "once");
    // Nothing to hide.
    fixture.write("[domain.warned]\nnull = \"deny\"\n");
    policy.reload().unwrap();
    assert_eq!(warnings().len(), 1);
}
