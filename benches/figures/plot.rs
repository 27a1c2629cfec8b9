//! Cost against the number of threads, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::table::Row;

const SIZE: (u32, u32) = (760, 420);
/// What is drawn: the beginning of the figures' names, and the file.
const PLOTS: [(&str, &str); 5] = [
    ("handled signals /s", "signals"),
    ("threads created and joined /s", "threads"),
    ("attach a thread, us", "attach"),
    ("pause of the others, us", "pause"),
    ("fault to the end of the process, ms", "fault"),
];

/// One line of a plot.
type Line = (String, Vec<(f64, f64)>);

/// Draws every figure that was measured beside more than one number of threads into the directory.
pub(crate) fn draw(directory: &Path, rows: &[Row]) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    for (what, file) in PLOTS {
        let lines = lines(rows, what);
        if lines.iter().any(|(_, points)| points.len() > 1) {
            plot(&directory.join(format!("{file}.svg")), what, &lines).map_err(|error| anyhow!("{error}"))?;
        }
    }
    Ok(())
}

fn lines(rows: &[Row], what: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows.iter().filter(|row| row.what == what) {
        let own = [("bare", &row.bare), ("floor", &row.floor), ("sickbay", &row.ours)];
        let peers = row.peers.iter().map(|(name, sample)| (*name, sample));
        for (who, sample) in own
            .into_iter()
            .chain(peers)
            // A logarithmic scale has no zero, and looks for it without end.
            .filter(|(_, sample)| !sample.is_empty() && sample.median() > 0.0)
        {
            let name = format!("{who} {}", row.placement).trim().to_owned();
            let point = (row.threads.max(1) as f64, sample.median());
            match lines.iter_mut().find(|(known, _)| *known == name) {
                Some((_, points)) => points.push(point),
                None => lines.push((name, vec![point])),
            }
        }
    }
    lines
}

fn plot(file: &Path, title: &str, lines: &[Line]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = points().map(of);
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (left..right * 1.1).log_scale(),
            (low / 2.0..high * 2.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("threads")
        .light_line_style(WHITE)
        .draw()?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
