//! The operator's page: its commands, in their order, in an empty directory.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::program;

const PAGE: &str = include_str!("../../src/operation.md");

/// Runs commands in a shell that finds the program, and returns what each part of them printed.
pub(crate) fn run(directory: &Path, parts: &[String]) -> Vec<String> {
    let search = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    // What was started in the background ends with the shell.
    let mut script = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for part in parts {
        script += &format!("{part}\nprintf '\\n%s\\n' --end-of-part--\n");
    }
    // The page waits for what is sure to come.
    let mut shell = Command::new("timeout");
    shell.args(["120", "bash", "-eu", "-o", "pipefail", "-c", &script]).current_dir(directory).env("PATH", search);
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

#[test]
fn every_command_does_what_the_page_says() {
    // A port of this machine that nobody has now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let blocks = PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<String> = blocks.map(|block| block.replace(":5555", &format!(":{port}"))).collect();
    let directory = tempfile::tempdir().unwrap();
    let printed = run(directory.path(), &blocks);
    let [set_up, _alice, add, _listen, ping, rotate, find, revoke] = &printed[..] else {
        panic!("eight blocks of commands: {printed:#?}");
    };
    assert!(set_up.contains("monitor: added"), "{set_up}");
    assert!(add.contains("clients/alice.key: ") && add.contains("accepted (200), user id \"alice\""), "{add}");
    assert!(ping.contains("authenticated (CURVE"), "{ping}");
    assert!(rotate.matches("authenticated (CURVE").count() >= 2, "both keys: {rotate}");
    assert!(rotate.contains("alice.until-") && rotate.contains("valid until"), "{rotate}");
    assert!(find.contains("alice.key ") && find.contains("revoked: ") && find.contains("denied (400)"), "{find}");
    assert!(revoke.contains("denied (400)") && revoke.contains("denied (400)"), "{revoke}");
    let log = std::fs::read_to_string(directory.path().join("server/decisions.log")).unwrap();
    assert!(log.matches(" Allowed CURVE in domain \"lab\" from 127.0.0.1").count() >= 3, "{log}");
    assert!(log.matches(" Denied CURVE in domain \"lab\" from 127.0.0.1").count() >= 2, "{log}");
}
