//! One script of requests (`scenarios.txt`), run against this crate's policy and pyzmq's.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use toml::{Table, Value};
use zmq_auth::{PublicKey, save_certificate};

use crate::harness::log::{SENTINEL, password};
use crate::harness::python::python;
use crate::ours;

const SCENARIOS: &str = include_str!("scenarios.txt");
const DIFFERENCES: &str = include_str!("differences.toml");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Ours,
    Pyzmq,
}

/// One line for a policy, and our expected answer, if there is one.
struct Step {
    line: String,
    answer: Option<String>,
}

struct Scenario {
    name: String,
    steps: Vec<Step>,
}

/// The replies to a scenario, in the order of its lines.
struct Answers {
    name: String,
    expected: String,
    ours: String,
    pyzmq: String,
}

#[test]
fn both_policies_decide_alike_but_for_the_listed_differences() {
    let fixture = tempfile::tempdir().expect("a temporary directory");
    let place = Place::make(fixture.path());
    let both = place.answers(Policy::Ours).into_iter().zip(place.answers(Policy::Pyzmq));
    let scenarios = read(&place.filled(SCENARIOS, Policy::Ours)).into_iter().zip(both);
    let answers: Vec<Answers> = scenarios
        .map(|(Scenario { name, steps }, (ours, pyzmq))| {
            let expected: Vec<String> = steps.into_iter().filter_map(|step| step.answer).collect();
            Answers { name, expected: expected.join(", "), ours, pyzmq }
        })
        .collect();
    let listed = place.filled(DIFFERENCES, Policy::Ours).parse().expect("differences.toml is TOML");
    let faults = faults(&listed, &answers);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// One line for each of our replies that isn't as expected, each difference that isn't listed, and each listed one that doesn't
/// occur.
fn faults(listed: &Table, answers: &[Answers]) -> Vec<String> {
    let mut faults = Vec::new();
    for Answers { name, expected, ours, pyzmq } in answers {
        if ours != expected {
            faults.push(format!("{name}: ours answers {ours}, and should {expected}"));
        }
        let entry = listed.get(name).and_then(Value::as_table);
        let field = |key| entry.and_then(|entry| entry.get(key)?.as_str()).unwrap_or_default();
        match entry {
            None if pyzmq != ours => faults.push(format!("not listed: [{name}] ours = '{ours}', pyzmq = '{pyzmq}'")),
            None => {}
            Some(_) if pyzmq == ours => faults.push(format!("gone: [{name}]: both answer {ours}")),
            Some(entry)
                if (field("ours"), field("pyzmq"), entry.len()) != (ours.as_str(), pyzmq.as_str(), 3)
                    || field("reason").is_empty() =>
            {
                faults.push(format!(
                    "listed otherwise than ours = '{ours}', pyzmq = '{pyzmq}', with a reason: [{name}] {entry:?}"
                ));
            }
            Some(_) => {}
        }
    }
    let gone = listed.keys().filter(|name| answers.iter().all(|answers| answers.name != **name));
    faults.extend(gone.map(|name| format!("listed, but there is no such scenario: [{name}]")));
    faults
}

#[test]
fn an_unlisted_a_vanished_and_a_changed_difference_are_faults() {
    let listed: Table = "[a]\nours = '400'\npyzmq = '200'\nreason = 'because'\n".parse().unwrap();
    let count = |listed: &Table, name: &str, ours: &str, pyzmq: &str| {
        let [name, expected, ours, pyzmq] = [name, ours, ours, pyzmq].map(str::to_owned);
        faults(listed, &[Answers { name, expected, ours, pyzmq }]).len()
    };
    assert_eq!(count(&listed, "a", "400", "200"), 0);
    assert_eq!(count(&Table::new(), "b", "400", "400"), 0);
    for (ours, pyzmq) in [("400", "400"), ("200", "400"), ("500", "200"), ("400", "201")] {
        assert_eq!(count(&listed, "a", ours, pyzmq), 1, "{ours} {pyzmq}");
    }
    // One that isn't listed, and a listed one without a scenario.
    assert_eq!(count(&listed, "b", "400", "200"), 2);
    for without in ["[a]\nours = '400'\npyzmq = '200'\nreason = ''\n", "[a]\nours = '400'\npyzmq = '200'\n", "a = 1\n"]
    {
        assert_eq!(count(&without.parse().unwrap(), "a", "400", "200"), 1, "{without}");
    }
    let unexpected = Answers { name: "b".into(), expected: "400".into(), ours: "200".into(), pyzmq: "200".into() };
    assert_eq!(faults(&Table::new(), &[unexpected]).len(), 1);
}

/// The directories that the scenarios use.
struct Place<'a> {
    root: &'a Path,
    password: String,
    wrong: String,
}

const ALICE: [u8; 32] = [0x41; 32];
const MALLORY: [u8; 32] = [0x4d; 32];

impl<'a> Place<'a> {
    fn make(root: &'a Path) -> Self {
        for name in ["authorised", "broken", "short", "empty", "scratch-Ours", "scratch-Pyzmq"] {
            fs::create_dir(root.join(name)).expect("a directory");
        }
        for name in ["authorised", "broken"] {
            save_certificate(root.join(name).join("alice.key"), &PublicKey::from(ALICE), None).expect("a certificate");
        }
        fs::write(root.join("broken/mallory.key"), "curve\n").expect("a file");
        fs::write(root.join("short/short.key"), "curve\n    public-key = \"short\"\n").expect("a file");
        // Words of a script contain no blanks.
        let password = |name| password(name).replace(' ', "-");
        Place { root, password: password("right"), wrong: password("wrong") }
    }

    /// The text with the contents of its braces replaced.
    fn filled(&self, text: &str, policy: Policy) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut text = text
            .replace("{password}", &self.password)
            .replace("{password-ff}", &format!("x:{}ff", hex(self.password.as_bytes())))
            .replace("{wrong}", &self.wrong)
            .replace("{sentinel}", SENTINEL)
            .replace("{alice}", &format!("x:{}", hex(&ALICE)))
            .replace("{mallory}", &format!("x:{}", hex(&MALLORY)))
            .replace("{alice-id}", &PublicKey::from(ALICE).to_string())
            .replace("{mallory-id}", &PublicKey::from(MALLORY).to_string());
        let scratch = format!("scratch-{policy:?}");
        let names = [("scratch", &*scratch)].into_iter();
        for (name, directory) in names.chain(["authorised", "broken", "short", "empty", "missing"].map(|n| (n, n))) {
            text = text.replace(&format!("{{{name}}}"), &self.root.join(directory).to_string_lossy());
        }
        text
    }

    /// The replies of this policy to each scenario.
    fn answers(&self, policy: Policy) -> Vec<String> {
        let scenarios = read(&self.filled(SCENARIOS, policy));
        let lines: Vec<&str> = scenarios
            .iter()
            .flat_map(|scenario| ["new"].into_iter().chain(scenario.steps.iter().map(|step| &*step.line)))
            .collect();
        let mut answers = match policy {
            Policy::Ours => ours::answers(&lines),
            Policy::Pyzmq => pyzmq_answers(&lines),
        }
        .into_iter();
        let mut next = || answers.next().expect("an answer for each line");
        let joined = scenarios.iter().map(|scenario| {
            assert_eq!(next(), "ok");
            let mut answers = Vec::new();
            for Step { line, answer } in &scenario.steps {
                let given = next();
                match answer {
                    Some(_) => answers.push(given),
                    // The line may contain a password.
                    None => assert_eq!(given, "ok", "{policy:?}, {}: {:.9}…", scenario.name, line),
                }
            }
            answers.join(", ")
        });
        let joined = joined.collect();
        assert_eq!(answers.next(), None, "more answers than lines");
        joined
    }
}

/// It ends by itself, at its own deadline at the latest.
fn pyzmq_answers(lines: &[&str]) -> Vec<String> {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/pyzmq.py"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    let script = lines.join("\n") + "\n";
    // It replies before it has read everything, and neither side may wait for the other.
    let writer = thread::spawn(move || stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().expect("a child of ours");
    assert!(output.status.success(), "{}", output.status);
    writer.join().expect("it doesn't panic").expect("all of the script was read");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

fn read(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("scenario ") {
            scenarios.push(Scenario { name: name.to_owned(), steps: vec![] });
            continue;
        }
        let (line, answer) = match line.split_once(" => ") {
            Some((line, answer)) => (line, Some(answer.to_owned())),
            None => (line, None),
        };
        scenarios.last_mut().expect("a scenario's name comes first").steps.push(Step { line: line.to_owned(), answer });
    }
    scenarios
}
