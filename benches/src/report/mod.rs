//! The report of all benchmarks: one table, one JSON file, and a plot for each section, under `target/bench`.
//!
//! Each program writes its sections. A section replaces that of an earlier run with the same key; the others stay.
//! Contestants run in turns, so that a disturbance affects all of them: ratios are taken within one repetition, and the
//! median of the ratios counts.

mod plot;
mod setting;
mod statistics;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The figures of one kind of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section<Text = &'static str> {
    /// The name of its files.
    pub key: Text,
    pub title: String,
    /// What was measured, how, and what the ratios are relative to.
    pub how: String,
    pub unit: Text,
    pub better: Better,
    /// The contestant that ratios are relative to; `None` for no ratios.
    pub baseline: Option<Text>,
    pub records: Vec<Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Better {
    Higher,
    Lower,
}

/// A cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The row.
    pub work: String,
    /// The column.
    pub contestant: String,
    /// A value for each repetition.
    pub values: Vec<f64>,
}

/// All runs so far, as the JSON file holds them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {
    sections: Vec<Measured>,
}

/// A section, and the setting in which it was measured.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    setting: setting::Setting,
    #[serde(flatten)]
    section: Section<String>,
}

impl Section {
    /// Adds a value to a cell, which is created if needed.
    pub fn add(&mut self, work: &str, contestant: &str, value: f64) {
        let cell = |record: &&mut Record| record.work == work && record.contestant == contestant;
        match self.records.iter_mut().find(cell) {
            Some(record) => record.values.push(value),
            None => {
                self.records.push(Record { work: work.into(), contestant: contestant.into(), values: vec![value] });
            }
        }
    }

    fn owned(self) -> Section<String> {
        let Section { key, title, how, unit, better, baseline, records } = self;
        let baseline = baseline.map(str::to_owned);
        Section { key: key.into(), title, how, unit: unit.into(), better, baseline, records }
    }
}

/// Whether Cargo runs the program as a benchmark (`cargo bench`), and not just to test it (`cargo test`).
pub fn is_benchmark() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Prints the section's table. In a benchmark, merges the section into the report and rewrites its files.
pub fn write(section: Section) -> Result<()> {
    let section = section.owned();
    println!("{}", table::section(&section));
    if !is_benchmark() {
        return Ok(());
    }
    let directory = directory()?;
    fs::create_dir_all(&directory)?;
    let json = directory.join("report.json");
    let mut report = match fs::read(&json) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is of another form", json.display()))?,
        Err(_) => Report::default(),
    };
    let key = section.key.clone();
    plot::draw(&section, &directory.join(&key).with_extension("svg"))?;
    report.sections.retain(|measured| measured.section.key != key);
    report.sections.push(Measured { setting: setting::Setting::now(), section });
    report.sections.sort_by(|one, other| one.section.key.cmp(&other.section.key));
    fs::write(directory.join("report.md"), table::report(&report))?;
    fs::write(json, serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}

/// `bench` in the target directory.
fn directory() -> Result<PathBuf> {
    Ok(target_directory()?.join("bench"))
}

/// Cargo's target directory: this program is TARGET/release/deps/NAME.
pub fn target_directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(3).context("not below a target directory")?.to_owned())
}
