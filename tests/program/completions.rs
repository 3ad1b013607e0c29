//! `zmq-auth completions`.

use std::path::Path;

use crate::run::run;

#[test]
fn each_shell_gets_a_script_that_names_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(Path::new("."), &["completions", shell]).ok();
        assert!(script.contains("zmq-auth") && script.contains("completions"), "{shell}: {script}");
    }
    let outcome = run(Path::new("."), &["completions", "cobol"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("possible values: bash"), "{}", outcome.stderr);
}
