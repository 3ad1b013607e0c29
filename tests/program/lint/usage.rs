//! Arguments and help.

use super::{Files, certificate};
use crate::run::run;

#[test]
fn a_path_is_required() {
    let files = Files::new();
    for (arguments, says) in [
        (&["lint"][..], "PATH"),
        (&["lint", ".", "--soon", "later"], "not a time span"),
        (&["lint", "--passwords"], "FILE"),
    ] {
        let outcome = run(files.path(), arguments);
        assert_eq!(outcome.code, 2, "{}", outcome.stdout);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
}

#[test]
fn a_file_is_checked_once() {
    let files = Files::new();
    files.public("clients", "alice", &certificate());
    let report = run(files.path(), &["--json", "lint", "clients", "clients", "clients/alice.key"]).json();
    assert_eq!(report["files"], 1, "{report}");
}

#[test]
fn the_summary_counts() {
    let files = Files::new();
    files.public("clients", "alice", &certificate());
    files.write("clients/bad.key", "", 0o666);
    files.write("clients/README", "", 0o644);
    let text = run(files.path(), &["lint", "clients"]).stdout;
    assert!(text.ends_with("\n2 files: 2 errors, 1 warning\n"), "{text}");
    let text = run(files.path(), &["lint", "clients/alice.key"]).ok();
    assert_eq!(text, "1 file: 0 errors, 0 warnings\n");
}

#[test]
fn the_help_says_how_kinds_are_recognised() {
    let help = run(std::path::Path::new("."), &["lint", "--help"]).ok();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("any other is a password file, with lines name=password"), "{help}");
    assert!(words.contains("0 no errors (there may be warnings), 1 errors"), "{help}");
}
