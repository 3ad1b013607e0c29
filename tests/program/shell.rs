//! Runs the commands of a page.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::program;

/// Runs commands in a shell with the program in its PATH, and returns the output of each part.
pub(crate) fn run(directory: &Path, parts: &[String]) -> Vec<String> {
    let search = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    // Background jobs end with the shell.
    let mut script = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for part in parts {
        script += &format!("{part}\nprintf '\\n%s\\n' --end-of-part--\n");
    }
    // A limit, since commands of the page wait for events.
    let mut shell = Command::new("timeout");
    shell.args(["300", "bash", "-eu", "-o", "pipefail", "-c", &script]).current_dir(directory).env("PATH", search);
    let mut shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(shell.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut printed = vec![String::new()];
    for line in lines {
        if line == "--end-of-part--" {
            printed.push(String::new());
        } else if let Some(part) = printed.last_mut() {
            *part += &format!("{line}\n");
        }
    }
    printed.pop();
    let output = shell.wait_with_output().unwrap();
    let all = printed.concat();
    assert!(output.status.success(), "{all}{}", String::from_utf8_lossy(&output.stderr));
    printed
}
