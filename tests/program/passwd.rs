//! `zmq-auth passwd`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rexpect::session::{Options, PtySession, spawn_with_options};
use zmq_auth::PasswordFile;

use crate::files::{all, mode, names};
use crate::run::{Outcome, program, run, run_with_input};

/// Runs the program at a terminal, to answer its prompts.
fn terminal(directory: &Path, arguments: &[&str]) -> PtySession {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(directory);
    spawn_with_options(command, Options { timeout_ms: Some(20_000), ..Options::default() }).unwrap()
}

fn set(directory: &Path, user: &str, password: &str) -> Outcome {
    run_with_input(directory, &["passwd", "users", user, "--stdin"], password.as_bytes())
}

fn verify(directory: &Path, user: &str, password: &str) -> Outcome {
    run_with_input(directory, &["passwd", "users", user, "--verify", "--stdin"], password.as_bytes())
}

#[test]
fn a_password_is_set_changed_checked_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    assert!(set(dir.path(), "alice", "first\n").ok().starts_with("alice: added in users.\n"));
    assert_eq!(mode(&file), 0o600);
    assert!(fs::read_to_string(&file).unwrap().starts_with("alice=$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_eq!(verify(dir.path(), "alice", "first").ok(), "right\n");

    // Only the first line counts, without a CR at its end.
    assert!(set(dir.path(), "alice", "second\r\nrest").ok().starts_with("alice: changed in users.\n"));
    for wrong in ["first", "second\r\r\n", " second", "second "] {
        let outcome = verify(dir.path(), "alice", wrong);
        assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (1, "wrong\n", ""), "{wrong:?}");
    }
    assert_eq!(verify(dir.path(), "alice", "second\n").code, 0);
    let outcome = verify(dir.path(), "bob", "second");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, "wrong: users has no user bob\n"));

    assert!(run(dir.path(), &["passwd", "users", "alice", "--delete"]).ok().contains("alice: deleted in users."));
    assert_eq!(fs::read(&file).unwrap(), b"");
    let outcome = run(dir.path(), &["passwd", "users", "alice", "--delete"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("users has no user alice; nothing was changed"), "{}", outcome.stderr);
    assert_eq!(names(dir.path()), ["users"]);
}

#[test]
fn json_says_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let json = |arguments: &[&str], input: &str| {
        let arguments = [&["passwd", "--json", "users", "alice"], arguments].concat();
        let outcome = run_with_input(dir.path(), &arguments, input.as_bytes());
        (outcome.code, outcome.json())
    };
    for action in ["added", "changed"] {
        let (code, value) = json(&["--stdin"], "pass word");
        assert_eq!((code, value), (0, serde_json::json!({"file": "users", "user": "alice", "action": action})));
    }
    for (password, code, right) in [("pass word", 0, true), ("password", 1, false)] {
        let expected = serde_json::json!({"file": "users", "user": "alice", "right": right, "exists": true});
        assert_eq!(json(&["--verify", "--stdin"], password), (code, expected));
    }
    assert_eq!(json(&["--delete"], "").1["action"], "deleted");
}

#[test]
fn all_other_lines_stay_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    let line_of = |user: &str| {
        let text = fs::read_to_string(&file).unwrap();
        let start = text.find(&format!("{user}=$argon2id$")).unwrap();
        text[start..].split(['\r', '\n']).next().unwrap().to_owned()
    };
    // The content before, the user, and the content afterwards, where HERE is the user's line.
    let cases = [
        (
            "# first\n\nbob=b = b \n  \nalice=old\n#alice=comment\ncarol=c",
            "alice",
            "# first\n\nbob=b = b \n  \nHERE\n#alice=comment\ncarol=c",
        ),
        ("alice=old\r\nbob=b\r\n", "alice", "HERE\r\nbob=b\r\n"),
        ("bob=b\r\n", "alice", "bob=b\r\nHERE\r\n"),
        ("bob=b", "alice", "bob=b\nHERE\n"),
        ("x=1\r\nbob=b", "alice", "x=1\r\nbob=b\r\nHERE\r\n"),
        ("bob=b\nalice=old", "alice", "bob=b\nHERE"),
        ("\u{feff}alice=old\nbob=b\n", "alice", "\u{feff}HERE\nbob=b\n"),
        ("alicex=1\nxalice=2\n", "alice", "alicex=1\nxalice=2\nHERE\n"),
        ("bob=alice=1\n", "alice", "bob=alice=1\nHERE\n"),
    ];
    for (before, user, after) in cases {
        fs::write(&file, before).unwrap();
        set(dir.path(), user, "new").ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), after.replace("HERE", &line_of(user)), "{before:?}");
        assert_eq!(verify(dir.path(), user, "new").code, 0);
    }
    for (before, after) in [
        ("# x\r\nalice=1\r\nbob=2\r\n", "# x\r\nbob=2\r\n"),
        ("bob=2\nalice=1", "bob=2\n"),
        ("alice=1", ""),
        ("\u{feff}alice=1\nbob=2\n", "\u{feff}bob=2\n"),
    ] {
        fs::write(&file, before).unwrap();
        run(dir.path(), &["passwd", "users", "alice", "--delete"]).ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), after, "{before:?}");
    }
}

#[test]
fn a_file_with_an_error_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    for (text, line) in [("alice=1\nbob\n", 2), ("alice=1\nalice=2\n", 2), ("bob=\n", 1), ("a=$1$abc$def\n", 1)] {
        fs::write(&file, text).unwrap();
        let before = all(dir.path());
        for arguments in [&["--stdin"][..], &["--delete"], &["--verify", "--stdin"]] {
            let outcome = run_with_input(dir.path(), &[&["passwd", "users", "alice"], arguments].concat(), b"new\n");
            assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{text:?}");
            assert!(outcome.stderr.starts_with(&format!("error: users:{line}: ")), "{text:?}: {}", outcome.stderr);
            assert!(!outcome.stderr.contains("$abc"), "{}", outcome.stderr);
            assert_eq!(all(dir.path()), before);
        }
    }
}

#[test]
fn credentials_that_cannot_be_stored_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("users"), "bob=b\n").unwrap();
    let before = all(dir.path());
    let long = "x".repeat(256);
    for (user, password) in
        [("alice", ""), ("alice", &long), ("#a", "x"), ("a=b", "x"), ("", "x"), (&long, "x"), ("a\nb", "x")]
    {
        let outcome = set(dir.path(), user, password);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{user:?}");
        assert!(outcome.stderr.contains("error: PLAIN "), "{user:?}: {}", outcome.stderr);
        assert_eq!(all(dir.path()), before);
    }
    let outcome = run_with_input(dir.path(), &["passwd", "users", "alice", "--stdin"], b"\xff\xfe\n");
    assert!(outcome.code == 1 && outcome.stderr.contains("not UTF-8"), "{}", outcome.stderr);
    let outcome = run_with_input(dir.path(), &["passwd", "nowhere/users", "alice", "--stdin"], b"x\n");
    assert!(outcome.code == 1 && outcome.stderr.contains("mkdir nowhere"), "{}", outcome.stderr);
    for arguments in [&["--verify", "--delete"][..], &["--delete", "--stdin"], &["--stdin", "--password-file", "x"]] {
        assert_eq!(run(dir.path(), &[&["passwd", "users", "alice"], arguments].concat()).code, 2, "{arguments:?}");
    }
    assert_eq!(all(dir.path()), before);
}

#[test]
fn a_link_stays_one_and_a_mode_is_tightened() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    let real = dir.path().join("real/passwords");
    fs::write(&real, "bob=b\n").unwrap();
    fs::set_permissions(&real, Permissions::from_mode(0o644)).unwrap();
    symlink("real/passwords", dir.path().join("users")).unwrap();
    // Root changes a file that belongs to another account.
    let is_root = fs::metadata(&real).unwrap().uid() == 0;
    if is_root {
        chown(&real, Some(12_345), Some(54_321)).unwrap();
    }
    let outcome = set(dir.path(), "alice", "x");
    assert!(outcome.stderr.contains("mode was 644 and is now 600"), "{}", outcome.stderr);
    outcome.ok();
    assert!(dir.path().join("users").is_symlink());
    assert_eq!((mode(&real), PasswordFile::open(&real).unwrap().status().entries), (0o600, 2));
    let owner = fs::metadata(&real).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
    assert!(!is_root || owner == (12_345, 54_321), "{owner:?}");
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    let outcome = run_with_input(dir.path(), &["passwd", "dangling", "alice", "--stdin"], b"x");
    assert!(outcome.code == 1 && outcome.stderr.contains("dangling: cannot open"), "{}", outcome.stderr);
}

#[test]
fn concurrent_runs_lose_nothing() {
    const USERS: usize = 16;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    fs::write(&file, "secret\n").unwrap();
    fs::write(dir.path().join("users"), "# kept\n").unwrap();
    let start = |number: usize| {
        let mut command = Command::new(program());
        command.args(["passwd", "users", &format!("user-{number}"), "--password-file", "password"]);
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..USERS).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(PasswordFile::open(dir.path().join("users")).unwrap().status().entries, USERS);
    assert!(fs::read_to_string(dir.path().join("users")).unwrap().starts_with("# kept\n"));
    assert_eq!(names(dir.path()), ["password", "users"]);
}

#[test]
fn a_run_waits_for_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let lock = fs::File::open(dir.path()).unwrap();
    lock.lock().unwrap();
    let mut session = terminal(dir.path(), &["passwd", "users", "alice"]);
    for prompt in ["New password for alice: ", "The same again: "] {
        session.exp_string(prompt).unwrap();
        session.send_line("secret").unwrap();
    }
    session.exp_string("waiting for another program").unwrap();
    assert!(names(dir.path()).is_empty());
    drop(lock);
    session.exp_string("alice: added in users.").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(names(dir.path()), ["users"]);
}

#[test]
fn without_a_terminal_it_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("users"), "alice=x\n").unwrap();
    let before = all(dir.path());
    for arguments in [&[][..], &["--verify"]] {
        let mut command = Command::new(program());
        command.args(["passwd", "users", "alice"]).args(arguments).current_dir(dir.path());
        // Standard input stays open, so that reading it would hang.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let open = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(open);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("no terminal to ask for it") && stderr.contains("--stdin"), "{stderr}");
        assert_eq!(all(dir.path()), before);
    }
}

#[test]
fn a_terminal_is_asked_twice_without_echo() {
    let dir = tempfile::tempdir().unwrap();
    let typed = |answers: &[(&str, &str)], arguments: &[&str]| {
        let mut session = terminal(dir.path(), &[&["passwd", "users", "alice"], arguments].concat());
        let mut seen = String::new();
        for (prompt, answer) in answers {
            seen += &session.exp_string(prompt).unwrap();
            session.send_line(answer).unwrap();
        }
        seen += &session.exp_eof().unwrap();
        let status = session.process().wait().unwrap();
        assert!(!seen.contains("hunter2") && !seen.contains("Tr0ub4dor"), "{seen}");
        (format!("{status:?}"), seen)
    };
    let (first, again) = ("New password for alice: ", "The same again: ");
    let (status, seen) = typed(&[(first, "hunter2"), (again, "Tr0ub4dor")], &[]);
    assert!(
        status.contains(", 1)") && seen.contains("the two passwords differ; nothing was changed"),
        "{status} {seen}"
    );
    assert!(names(dir.path()).is_empty());
    let (status, seen) = typed(&[(first, "hunter2"), (again, "hunter2")], &[]);
    assert!(status.contains(", 0)") && seen.contains("alice: added in users."), "{status} {seen}");
    // With --verify, there is only one prompt.
    for (password, code, answer) in [("hunter2", 0, "right"), ("hunter2 ", 1, "wrong")] {
        let (status, seen) = typed(&[("Password of alice: ", password)], &["--verify"]);
        assert!(status.contains(&format!(", {code})")) && seen.contains(answer), "{status} {seen}");
        assert!(!seen.contains("again"), "{seen}");
    }
}

#[test]
fn ctrl_c_at_the_prompt_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = terminal(dir.path(), &["passwd", "users", "alice"]);
    session.exp_string("New password for alice: ").unwrap();
    session.send_control('c').unwrap();
    let begin = std::time::Instant::now();
    let _ = session.exp_eof();
    assert!(begin.elapsed() < Duration::from_secs(20), "it didn't end");
    assert!(format!("{:?}", session.process().wait().unwrap()).contains(", 130)"));
    assert!(names(dir.path()).is_empty());
}

/// Runs in a shell on a terminal, which shows the settings before and after.
#[test]
fn a_signal_at_the_prompt_leaves_the_echo_as_it_was() {
    use nix::sys::signal::{Signal, kill};
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut command = Command::new("sh");
        let script = "stty echo; stty -a; trap : INT; sh -c 'echo \"pid $$.\"; exec \"$0\" passwd users alice' \"$0\"; \
                      echo \"exit $?.\"; stty -a; echo end";
        command.args(["-c", script]).arg(program()).current_dir(dir.path());
        let options = Options { timeout_ms: Some(20_000), ..Options::default() };
        let mut session = spawn_with_options(command, options).unwrap();
        let before = session.exp_string("pid ").unwrap();
        let pid: i32 = session.exp_string(".").unwrap().parse().unwrap();
        session.exp_string("New password for alice: ").unwrap();
        // The prompt appears before the echo is turned off: wait for that.
        let begin = std::time::Instant::now();
        let is_off = || {
            let terminal = fs::File::open(format!("/proc/{pid}/fd/0")).unwrap();
            let settings = nix::sys::termios::tcgetattr(terminal).unwrap();
            !settings.local_flags.contains(nix::sys::termios::LocalFlags::ECHO)
        };
        while !is_off() {
            assert!(begin.elapsed() < Duration::from_secs(20), "the echo stays on");
            std::thread::yield_now();
        }
        kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
        session.exp_string("exit ").unwrap();
        let code = session.exp_string(".").unwrap();
        let after = session.exp_string("end").unwrap();
        assert_eq!(code, "130", "{signal}");
        assert!(before.contains(" echo ") && after.contains(" echo "), "{signal}: {before} {after}");
    }
    assert!(names(dir.path()).is_empty());
}
