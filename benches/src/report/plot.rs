//! Bar charts: one group for each row, one bar for each contestant.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::Section;
use super::statistics::Summary;

const COLOURS: [RGBColor; 8] = [
    RGBColor(120, 120, 120),
    RGBColor(60, 60, 60),
    RGBColor(31, 119, 180),
    RGBColor(23, 190, 207),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(214, 39, 40),
];

/// The largest ratio that is drawn.
const CUT: f64 = 3.0;
/// The width of a bar in pixels.
const BAR: u32 = 16;

/// Draws the ratios to the baseline, or the values if there is none.
pub(super) fn draw(section: &Section<String>, file: &Path) -> Result<()> {
    plot(section, file).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn plot(section: &Section<String>, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (works, contestants) = (section.works(), section.contestants());
    let height = |work: &str, contestant: &str| {
        let record = section.cell(work, contestant)?;
        section.ratio(record).or_else(|| Summary::of(&record.values).filter(|_| section.baseline.is_none()))
    };
    let bars = works.iter().flat_map(|work| contestants.iter().filter_map(|contestant| height(work, contestant)));
    let tallest = bars.map(|bar| bar.median).fold(f64::MIN_POSITIVE, f64::max) * 1.2;
    // A bar a hundred times the baseline would make the others invisible; the table has the figure.
    let top = if section.baseline.is_some() { tallest.min(CUT) } else { tallest };
    let group = contestants.len() as f64 + 1.0;
    let width = works.len() as f64 * group;

    // Room for the legend on the right.
    let size = ((width as u32 * BAR + 260).max(720), 480);
    let area = SVGBackend::new(file, size).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&section.title, ("sans-serif", 18))
        .margin(10)
        .margin_right(180)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..width, 0.0..top)?;
    let label = match &section.baseline {
        Some(baseline) => format!("ratio to {baseline}{}", if tallest > CUT { ", cut at 3" } else { "" }),
        None => section.unit.clone(),
    };
    chart.configure_mesh().light_line_style(WHITE).disable_x_mesh().disable_x_axis().y_desc(label).draw()?;
    for (place, contestant) in contestants.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let bars = works.iter().enumerate().filter_map(|(row, work)| Some((row, height(work, contestant)?)));
        let left = |row: usize| row as f64 * group + place as f64 + 0.5;
        let rectangle = |(row, bar): (usize, Summary)| {
            Rectangle::new([(left(row), 0.0), (left(row) + 0.9, bar.median.min(top))], colour.filled())
        };
        chart.draw_series(bars.clone().map(rectangle))?;
        let spread = |(row, bar): (usize, Summary)| {
            PathElement::new([(left(row) + 0.45, bar.least.min(top)), (left(row) + 0.45, bar.most.min(top))], BLACK)
        };
        chart.draw_series(bars.map(spread))?;
        let (x, y) = (size.0 as i32 - 170, 50 + 18 * place as i32);
        area.draw(&Rectangle::new([(x, y), (x + 10, y + 10)], colour.filled()))?;
        area.draw(&Text::new((*contestant).to_owned(), (x + 16, y), ("sans-serif", 13)))?;
    }
    // Plotters labels points of an axis, not groups between them.
    let below = chart.plotting_area().get_y_axis_pixel_range().end;
    for (row, work) in works.iter().enumerate() {
        let (x, _) = chart.backend_coord(&(row as f64 * group + 0.5, 0.0));
        for (line, words) in work.split(", ").enumerate() {
            area.draw(&Text::new(words.to_owned(), (x, below + 6 + line as i32 * 13), ("sans-serif", 11)))?;
        }
    }
    area.present()?;
    Ok(())
}
