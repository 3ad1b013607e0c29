//! Properties of any policy, request, file and text, compared with a naive model of the docs: some thousand of each in every
//! run. The fuzzers in `fuzz/` share the invariants and search longer; what they found interesting is run here too.

#[path = "../../harness/log.rs"]
#[allow(dead_code, unreachable_pub)]
mod capture;

mod bytes;
mod policies;
mod reach;
mod seeds;
mod subnets;
mod texts;

use proptest::test_runner::Config;

/// The number of cases. A failure is shrunk and printed; to keep it, put its bytes into `fuzz/seeds`.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
