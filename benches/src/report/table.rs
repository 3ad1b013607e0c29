//! The report as Markdown.

use std::fmt::Write as _;

use super::setting::Setting;
use super::statistics::Summary;
use super::{Better, Measured, Record, Report, Section};

/// All sections, each with its plot.
pub(super) fn report(report: &Report) -> String {
    let latest = report.sections.iter().map(|measured| &measured.setting).max_by_key(|setting| &setting.date);
    let mut text = "# Benchmarks\n\n".to_owned();
    if let Some(setting) = latest {
        text += &head(setting);
    }
    for Measured { setting, section: one } in &report.sections {
        text += &format!("\n{}", section(one));
        if Some(setting) != latest {
            text += &format!("\nOf another run: {}\n", setting.line());
        }
        text += &format!("\n![{}]({}.svg)\n", one.title, one.key);
    }
    text
}

fn head(setting: &Setting) -> String {
    let lines = setting.lines().map(|(what, value)| format!("- {what}: {value}\n"));
    let how = "\nA cell is the median of the repetitions, then the ratio to the baseline: the median over the repetitions of \
         (its value / the baseline's in the same repetition), with the smallest and the largest. A baseline's cell shows the \
         spread of its own values. Contestants take turns. Ratios carry over to other machines, absolute figures don't.\n";
    lines.collect::<String>() + how
}

/// A heading, how it was measured, and the table.
pub(super) fn section(section: &Section<String>) -> String {
    let better = match section.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let baseline = section.baseline.as_ref().map(|name| format!("; ratios to {name}")).unwrap_or_default();
    let mut text = format!("## {}\n\n{}\n\nIn {}; {better}{baseline}.\n\n", section.title, section.how, section.unit);
    let contestants = section.contestants();
    let _ = writeln!(text, "| | {} |", contestants.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(contestants.len()));
    for work in section.works() {
        let cells = contestants.iter().map(|contestant| match section.cell(work, contestant) {
            Some(record) => cell(section, record),
            None => "–".into(),
        });
        let _ = writeln!(text, "| {work} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn cell(section: &Section<String>, record: &Record) -> String {
    let Some(value) = Summary::of(&record.values) else { return "–".into() };
    let shown = number(value.median);
    match section.ratio(record) {
        Some(ratio) if !section.is_baseline(&record.contestant) => {
            format!("{shown}<br>×{} ({}–{})", number(ratio.median), number(ratio.least), number(ratio.most))
        }
        _ => format!("{shown}<br>({}–{})", number(value.least), number(value.most)),
    }
}

/// Formats with three significant digits and thousands separators.
fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        ..0.095 => 3,
        ..9.95 => 2,
        ..99.5 => 1,
        _ => 0,
    };
    let step = if size >= 10_000.0 { 100.0 } else { 1.0 };
    let text = format!("{:.decimals$}", if step > 1.0 { (value / step).round() * step } else { value });
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}
