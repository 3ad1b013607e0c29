//! One script of requests (`scenarios.txt`), put to this crate's policy and to pyzmq's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use zmq_auth::{PublicKey, save_certificate};

use crate::child::Child;
use crate::differences::{Difference, compare, listed};
use crate::harness::log::{SENTINEL, password};
use crate::language::Language::{self, Pyzmq, Rust};

const SCENARIOS: &str = include_str!("scenarios.txt");
const DIFFERENCES: &str = include_str!("differences.toml");

/// One line for a policy, and what ours must answer, where that is told.
struct Step {
    line: String,
    answer: Option<String>,
}

struct Scenario {
    name: String,
    steps: Vec<Step>,
}

#[test]
fn both_policies_decide_alike_but_for_the_listed_differences() {
    let fixture = tempfile::tempdir().expect("a temporary directory");
    let place = Place::make(fixture.path());
    let (ours, pyzmq) = (place.answers(Rust), place.answers(Pyzmq));
    let scenarios = read(&place.filled(SCENARIOS, Rust));

    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for (at, scenario) in scenarios.iter().enumerate() {
        let expected: Vec<_> = scenario.steps.iter().filter_map(|step| step.answer.as_deref()).collect();
        let expected = expected.join(", ");
        let both = Difference { ours: ours[at].clone(), pyzmq: pyzmq[at].clone() };
        if both.ours != expected {
            faults.push(format!("{}: ours answers {}, and should {expected}", scenario.name, both.ours));
        }
        assert!(seen.insert(scenario.name.clone(), both).is_none(), "two scenarios are called {}", scenario.name);
    }
    let known =
        listed(&place.filled(DIFFERENCES, Rust)).unwrap_or_else(|problem| panic!("differences.toml: {problem}"));
    faults.extend(compare(&known, &seen));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The directories that the scenarios name.
struct Place<'a> {
    root: &'a Path,
    password: String,
    wrong: String,
}

const ALICE: [u8; 32] = [0x41; 32];
const MALLORY: [u8; 32] = [0x4d; 32];

impl<'a> Place<'a> {
    fn make(root: &'a Path) -> Self {
        for name in ["authorised", "broken", "short", "empty", "scratch-Rust", "scratch-Pyzmq"] {
            fs::create_dir(root.join(name)).expect("a directory");
        }
        for name in ["authorised", "broken"] {
            save_certificate(root.join(name).join("alice.key"), &PublicKey::from(ALICE), None).expect("a certificate");
        }
        fs::write(root.join("broken/mallory.key"), "curve\n").expect("a file");
        fs::write(root.join("short/short.key"), "curve\n    public-key = \"short\"\n").expect("a file");
        // Words of a script have no blanks in them.
        let password = |name| password(name).replace(' ', "-");
        Place { root, password: password("right"), wrong: password("wrong") }
    }

    /// The text with everything that stands in braces.
    fn filled(&self, text: &str, language: Language) -> String {
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
        let scratch = format!("scratch-{language:?}");
        let names = [("scratch", &*scratch)].into_iter();
        for (name, directory) in names.chain(["authorised", "broken", "short", "empty", "missing"].map(|n| (n, n))) {
            text = text.replace(&format!("{{{name}}}"), &self.root.join(directory).to_string_lossy());
        }
        text
    }

    /// What this language's policy answers to each scenario.
    fn answers(&self, language: Language) -> Vec<String> {
        let scenarios = read(&self.filled(SCENARIOS, language));
        let script: String = scenarios
            .iter()
            .flat_map(|scenario| ["new"].into_iter().chain(scenario.steps.iter().map(|step| &*step.line)))
            .flat_map(|line| [line, "\n"])
            .collect();
        let mut command = language.peer();
        command.arg("decide");
        let mut peer = Child::start(command);
        peer.tell(&script);
        let mut lines = language.finish(peer, &[SENTINEL.to_owned()]).into_iter();
        let mut next = || lines.next().expect("an answer for each line");
        let answers = scenarios.iter().map(|scenario| {
            assert_eq!(next(), "ok");
            let mut answers = Vec::new();
            for Step { line, answer } in &scenario.steps {
                let given = next();
                match answer {
                    Some(_) => answers.push(given),
                    // The line may hold a password.
                    None => assert_eq!(given, "ok", "{language:?}, {}: {:.9}…", scenario.name, line),
                }
            }
            answers.join(", ")
        });
        let answers = answers.collect();
        assert_eq!(lines.next(), None, "more answers than lines");
        answers
    }
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
