//! Medians, and ratios within each repetition.

use super::{Record, Section};

/// Several values of one quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Summary {
    /// `None` if there are no values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Summary { median, least, most })
    }
}

impl<Text: AsRef<str>> Section<Text> {
    pub(super) fn cell(&self, work: &str, contestant: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.work == work && record.contestant == contestant)
    }

    /// The rows, in the order of their first record.
    pub(super) fn works(&self) -> Vec<&str> {
        in_order(self.records.iter().map(|record| &*record.work))
    }

    /// The columns, in the order of their first record.
    pub(super) fn contestants(&self) -> Vec<&str> {
        in_order(self.records.iter().map(|record| &*record.contestant))
    }

    pub(super) fn is_baseline(&self, contestant: &str) -> bool {
        self.baseline.as_ref().is_some_and(|baseline| baseline.as_ref() == contestant)
    }

    /// The value divided by the baseline's value in the same repetition. `None` if there is no baseline.
    pub(super) fn ratio(&self, record: &Record) -> Option<Summary> {
        let baseline = self.cell(&record.work, self.baseline.as_ref()?.as_ref())?;
        let pairs = record.values.iter().zip(&baseline.values);
        Summary::of(&pairs.map(|(value, base)| value / base).collect::<Vec<_>>())
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen
    })
}
