//! The help of each command, compared with the files in `help/`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::program;

/// If this variable is set, the test rewrites the files.
const WRITE: &str = "ZMQ_AUTH_WRITE_HELP";

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(program());
    command.args(arguments).arg("--help").env_remove("COLUMNS").stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Editors may strip trailing blanks.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The commands listed in a help text.
fn commands(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A command's first line is indented by two, further lines by more.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn each_help_text_equals_its_file() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("help");
    let mut different = Vec::new();
    let mut known = vec!["zmq-auth.txt".to_owned()];
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(arguments) = waiting.pop() {
        let text = help(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        for name in commands(&text) {
            let below = [&arguments[..], &[name]].concat();
            known.push(format!("{}.txt", below.join("-")));
            waiting.push(below);
        }
        let name = if arguments.is_empty() { "zmq-auth".into() } else { arguments.join("-") };
        let file = directory.join(format!("{name}.txt"));
        if env::var_os(WRITE).is_some() {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&file, &text).unwrap();
        } else if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            different.push(name);
        }
        assert!(text.contains("Example") || arguments.is_empty(), "{arguments:?} has no example");
    }
    assert!(known.len() >= 11, "{known:?}");
    let page = include_str!("../../src/program.md");
    for name in commands(&help(&[])) {
        assert!(page.contains(&format!("\n# {name}\n")), "src/program.md has no {name}");
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "help/{name} is of no command");
    }
    assert!(
        different.is_empty(),
        "{different:?}: other than in help/. Where that is meant, set {WRITE}=1 and look at the changes."
    );
}

#[test]
fn help_as_a_command_and_as_a_flag_are_the_same() {
    let output = Command::new(program()).args(["help", "keygen"]).env_remove("COLUMNS").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>(), help(&["keygen"]));
    let output = Command::new(program()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage: zmq-auth"));
}
