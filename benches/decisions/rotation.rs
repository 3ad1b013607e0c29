//! A round-robin over the contestants: each repetition starts with a different one.

use anyhow::{Context, Result};

use super::contestant::Contestant;
use super::driver::{Load, Measured};

/// Runs all of them `repetitions` times. `record` gets the contestant's name and its figures.
pub(crate) fn run_in_rotation(
    repetitions: usize,
    load: &Load,
    contestants: &mut [Box<dyn Contestant>],
    mut record: impl FnMut(&'static str, &Measured),
) -> Result<()> {
    for repetition in 0..repetitions {
        for turn in 0..contestants.len() {
            let next = (repetition + turn) % contestants.len();
            let contestant = &mut contestants[next];
            let measured = contestant.run(load)?;
            measured.check(contestant.allows_all()).context(contestant.name())?;
            record(contestant.name(), &measured);
        }
    }
    Ok(())
}
