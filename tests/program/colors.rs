//! Colours: only on a terminal, and not if `NO_COLOR` is set.

use std::process::Command;

use rexpect::session::{Options, spawn_with_options};

use crate::run::{program, run};

fn at_a_terminal(environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(program());
    command.args(["show", "missing"]).env("TERM", "xterm");
    // A build server's variables count as well: CI means a terminal with colours.
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(variable);
    }
    command.envs(environment.iter().copied());
    let options = Options { timeout_ms: Some(20_000), ..Options::default() };
    let mut session = spawn_with_options(command, options).unwrap();
    let text = session.exp_eof().unwrap();
    assert!(text.contains("missing: cannot open"), "{text}");
    text
}

#[test]
fn colours_are_for_terminals() {
    for (environment, is_coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false), (&[("TERM", "dumb")], false)] {
        let text = at_a_terminal(environment);
        assert_eq!(text.contains("\x1b["), is_coloured, "{environment:?}: {text:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(dir.path(), &["show", "missing"]);
    assert!(outcome.code == 1 && !outcome.stderr.contains('\x1b'), "{}", outcome.stderr);
}

#[test]
fn nothing_to_read_at_a_terminal_is_said() {
    let mut command = Command::new(program());
    command.arg("pubkey");
    let options = Options { timeout_ms: Some(20_000), ..Options::default() };
    let mut session = spawn_with_options(command, options).unwrap();
    assert!(session.exp_eof().unwrap().contains("standard input is a terminal, so there is nothing to read"));
    let status = session.process().wait().unwrap();
    assert!(format!("{status:?}").contains(", 2)"), "{status:?}");
}

#[test]
fn standard_error_that_is_closed_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (arguments, code) in [(&["keygen", "alice"][..], 0), (&["show", "nowhere.key"], 1), (&["ls", "nowhere"], 1)] {
        let mut command = std::process::Command::new(crate::run::program());
        command.args(arguments).current_dir(dir.path()).stderr(full());
        assert_eq!(command.output().unwrap().status.code(), Some(code), "{arguments:?}");
    }
}
