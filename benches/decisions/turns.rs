//! Contestants run in turns, each first once in a while.

use anyhow::{Context, Result};

use super::contestant::Contestant;
use super::driver::{Load, Measured};

/// Runs all of them, `repetitions` times; `note` gets the contestant's name and what it came to.
pub(crate) fn turns(
    repetitions: usize,
    load: &Load,
    contestants: &mut [Box<dyn Contestant>],
    mut note: impl FnMut(&'static str, &Measured),
) -> Result<()> {
    for repetition in 0..repetitions {
        for turn in 0..contestants.len() {
            let next = (repetition + turn) % contestants.len();
            let contestant = &mut contestants[next];
            let measured = contestant.run(load)?;
            measured.check(contestant.lets_all_in()).context(contestant.name())?;
            note(contestant.name(), &measured);
        }
    }
    Ok(())
}
