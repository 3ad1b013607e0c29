//! The table in `checklist.txt`: every line of it is held to a test that exists and is run.

#[path = "checklist/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many lines each part of the table has: what is taken out has to be taken out here too.
const PARTS: [(&str, usize); 4] = [
    ("pyzmq", 20),
    ("czmq, goczmq, JeroMQ, pebbe/zmq4, libzmq-rs, zeromq.js", 33),
    ("libzmq, for NULL, PLAIN and CURVE each", 27),
    ("faults seen in peers", 22),
];

#[test]
fn every_line_has_a_test_that_exists() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checklist.txt");
    let problems = problems(&std::fs::read_to_string(file).unwrap(), &PARTS, sources::tests_of);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Code of two words is a test in that file: the binary and the name.
#[test]
fn the_tests_that_security_md_names_exist() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let mut named = 0;
    for code in text.split('`').skip(1).step_by(2) {
        if let [binary, name] = code.split(' ').collect::<Vec<_>>()[..] {
            assert!(
                sources::tests_of(binary).unwrap_or_else(|error| panic!("{code}: {error}")).contains(name),
                "{code}"
            );
            named += 1;
        }
    }
    assert!(named > 20, "only {named} tests are named");
}

/// What is wrong with a table.
fn problems(
    table: &str,
    parts: &[(&str, usize)],
    tests_of: impl Fn(&str) -> Result<BTreeSet<String>, String>,
) -> Vec<String> {
    let (mut problems, mut seen) = (Vec::new(), BTreeSet::new());
    let mut counts: BTreeMap<&str, usize> = parts.iter().map(|(part, _)| (*part, 0)).collect();
    let mut binaries = BTreeMap::new();
    let mut part = None;
    for (number, line) in table.lines().enumerate() {
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let mut told = |problem: String| problems.push(format!("line {}, {line:?}: {problem}", number + 1));
        if let Some(title) = line.strip_prefix("# ") {
            part = counts.contains_key(title).then_some(title);
            if part.is_none() {
                told("no such part".into());
            }
            continue;
        }
        let Some(part) = part else {
            told("in no part".into());
            continue;
        };
        let (what, tests) = line.split_once('|').unwrap_or((line, ""));
        let what = what.trim();
        if what.is_empty() {
            told("of what?".into());
        }
        *counts.get_mut(part).unwrap() += 1;
        if !seen.insert((part, what.to_lowercase())) {
            told("is there twice".into());
        }
        if tests.trim().is_empty() {
            told("has no test".into());
        }
        for test in tests.split(',').filter(|test| !test.trim().is_empty()) {
            let words: Vec<_> = test.split_whitespace().collect();
            let [binary, name] = words[..] else {
                told(format!("{test:?} is no binary and test"));
                continue;
            };
            match binaries.entry(binary.to_owned()).or_insert_with(|| tests_of(binary)) {
                Ok(tests) if tests.contains(name) => {}
                Ok(_) => told(format!("{binary} has no test {name}")),
                Err(error) => told(error.clone()),
            }
        }
    }
    for (part, expected) in parts {
        if counts[part] != *expected {
            problems.push(format!("{part:?} has {} lines, not {expected}", counts[part]));
        }
    }
    problems
}

#[cfg(test)]
mod of_itself {
    use super::*;

    fn check(table: &str, lines: usize) -> String {
        let tests_of = |binary: &str| match binary {
            "b" => Ok(["m::one".to_owned(), "m::*::two".to_owned()].into()),
            _ => Err("no such binary".to_owned()),
        };
        problems(table, &[("p", lines)], tests_of).join("; ")
    }

    #[test]
    fn a_table_as_it_should_be() {
        assert_eq!(check("// says what it is\n\n# p\na | b m::one\nc | b m::*::two, b m::one\n", 2), "");
    }

    #[test]
    fn whatever_is_missing_is_told() {
        for (table, lines, problem) in [
            ("# p\na", 1, "has no test"),
            ("# p\na | ", 1, "has no test"),
            ("# p\n | b m::one", 1, "of what?"),
            ("# p\na | b", 1, "is no binary and test"),
            ("# p\na | b m::one m::one", 1, "is no binary and test"),
            ("# p\na | b m::two", 1, "b has no test m::two"),
            ("# p\na | b one", 1, "b has no test one"),
            ("# p\na | b m::on", 1, "b has no test m::on"),
            ("# p\na | b m::one, b m::three", 1, "b has no test m::three"),
            ("# p\na | c m::one", 1, "no such binary"),
            ("# p\na | b m::one\nA | b m::one", 2, "is there twice"),
            ("# p\na | b m::one", 2, "has 1 lines, not 2"),
            ("# q\na | b m::one", 0, "no such part"),
            ("a | b m::one", 0, "in no part"),
        ] {
            let told = check(table, lines);
            assert!(told.contains(problem), "{table:?}: {told:?}");
        }
    }

    #[test]
    fn only_what_is_run_is_a_test() {
        let source = r##"
            #[test] fn run() {}
            #[tokio::test(flavor = "multi_thread")] async fn in_a_runtime() {}
            fn not_marked() {}
            #[test] #[ignore] fn ignored() {}
            #[test] #[cfg(any())] fn never_built() {}
            #[cfg(target_os = "linux")] #[test] fn on_linux() {}
            mod inside { #[test] fn deep() {} mod deeper { #[test] fn deepest() {} } }
            #[cfg(windows)] mod elsewhere { #[test] fn far() {} }
            behaviours! { one, two, }
            something_else! { three }
            // #[test] fn in_a_comment() {}
            const TEXT: &str = "#[test] fn in_a_string() {}";
        "##;
        let items = syn::parse_file(source).unwrap().items;
        let mut tests = BTreeSet::new();
        sources::collect(&items, Path::new(""), Path::new(""), "m::", &mut tests).unwrap();
        let expected =
            ["*::one", "*::two", "in_a_runtime", "inside::deep", "inside::deeper::deepest", "on_linux", "run"];
        assert_eq!(tests.into_iter().collect::<Vec<_>>(), expected.map(|name| format!("m::{name}")));
    }

    #[test]
    fn the_tests_of_this_binary_are_those_that_the_runner_lists() {
        let this = std::process::Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
        let listed: BTreeSet<String> = String::from_utf8(this.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_suffix(": test").map(str::to_owned))
            .collect();
        assert_eq!(sources::tests_of("checklist").unwrap(), listed);
    }
}
