//! The random policies and requests reach interesting cases: otherwise the model would agree with any crate.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use zmq_auth_properties::model::policy::{Answer, Policy};
use zmq_auth_properties::scenario::{Step, steps};

/// The features that distinguish replies.
const KINDS: [&str; 19] = [
    "400 version",
    "400 not enough frames",
    "400 credentials",
    "400 32 bytes",
    "400 address",
    "400 unknown mechanism",
    "400 not configured",
    "400 unknown user or wrong password",
    "400 unknown key",
    "400 certificate",
    "400 UTF-8",
    "400 ",
    "300 ",
    "500 ",
    "500 NUL",
    "200 NULL",
    "200 PLAIN",
    "200 CURVE",
    "200 GSSAPI",
];

#[test]
fn every_kind_of_answer_occurs_repeatedly() {
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 0..1500);
    let mut seen = BTreeMap::new();
    for _ in 0..1000 {
        let mut model = Policy::default();
        for step in steps(&bytes.new_tree(&mut runner).unwrap().current()) {
            match step {
                Step::Change(change) => {
                    let mut after = model.clone();
                    if change.make_in_model(&mut after).is_ok() {
                        model = after;
                    }
                }
                Step::Ask(frames) => {
                    if let Some(answer) = model.decide(&frames) {
                        *seen.entry(kind(&answer, &frames)).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    for kind in KINDS {
        assert!(seen.get(kind).copied().unwrap_or(0) >= 10, "{kind:?} is too rare: {seen:#?}");
    }
}

fn kind(answer: &Answer, frames: &[Vec<u8>]) -> String {
    match answer.status {
        200 => format!("200 {}", String::from_utf8_lossy(&frames[5])),
        status => format!("{status} {}", answer.about),
    }
}
