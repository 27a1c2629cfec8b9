//! The table: one figure a row, ours beside the others measured in the same run.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::machine::Machine;
use super::sample::Sample;
use super::subject::Tracer;

/// One figure.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// What was measured, with its unit.
    pub(crate) what: String,
    /// Beside how many threads.
    pub(crate) threads: usize,
    /// On which CPUs; empty: wherever the scheduler put it.
    pub(crate) placement: &'static str,
    /// Nobody traces.
    pub(crate) bare: Sample,
    /// The minimal tracer.
    pub(crate) floor: Sample,
    /// Sickbay.
    pub(crate) ours: Sample,
    /// Other tools, by their names.
    pub(crate) peers: Vec<(&'static str, Sample)>,
    /// What is to be reached, in words.
    pub(crate) goal: &'static str,
    /// Ours at this number of threads as a part of ours with one.
    pub(crate) beside_one: Option<f64>,
}

const TITLES: [&str; 12] = [
    "figure",
    "threads",
    "on",
    "bare",
    "floor",
    "ours",
    "+-",
    "/bare",
    "/floor",
    "/1 thread",
    "goal",
    "others",
];

/// Prints all rows.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(crate) fn print(machine: &Machine, rows: &[Row]) {
    let mut cells = vec![TITLES.map(str::to_owned)];
    cells.extend(rows.iter().map(Row::cells));
    let widths: Vec<usize> = (0..TITLES.len())
        .map(|column| cells.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    println!("{machine}\n");
    for row in &cells {
        let padded = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column == 0 || column == 2 || column >= 10 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    println!(
        "\nMedians. +-: half the distance between the quartiles of ours. /bare, /floor: median of the ratios in pairs."
    );
}

/// Writes all rows, every measurement included.
pub(crate) fn write(path: &Path, machine: &Machine, rows: &[Row]) -> Result<()> {
    let figures: Vec<Value> = rows.iter().map(Row::json).collect();
    let document = json!({ "machine": machine.json(), "figures": figures });
    Ok(std::fs::write(path, serde_json::to_string_pretty(&document)?)?)
}

impl Row {
    /// Adds a measurement of another tool.
    pub(crate) fn add_peer(&mut self, peer: Tracer, value: f64) {
        self.add_other(peer.name(), value);
    }

    /// Adds a measurement of another tool, by its name.
    pub(crate) fn add_other(&mut self, name: &'static str, value: f64) {
        match self.peers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sample)) => sample.push(value),
            None => self.peers.push((name, [value].into_iter().collect())),
        }
    }

    fn cells(&self) -> [String; 12] {
        let against = |other: &Sample| {
            let both = !self.ours.is_empty() && !other.is_empty();
            if both {
                format!("{:.2}", self.ours.ratio(other))
            } else {
                String::new()
            }
        };
        let peers = self
            .peers
            .iter()
            .map(|(name, sample)| format!("{name} {}", middle(sample)));
        [
            self.what.clone(),
            if self.threads == 0 {
                String::new()
            } else {
                self.threads.to_string()
            },
            self.placement.to_owned(),
            middle(&self.bare),
            middle(&self.floor),
            middle(&self.ours),
            if self.ours.values().len() > 1 {
                format!("{:.0}%", self.ours.spread() * 100.0)
            } else {
                String::new()
            },
            against(&self.bare),
            against(&self.floor),
            self.beside_one
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
            self.goal.to_owned(),
            peers.collect::<Vec<_>>().join(", "),
        ]
    }

    fn json(&self) -> Value {
        let values = |sample: &Sample| {
            (!sample.is_empty()).then(
                || json!({ "median": sample.median(), "spread": sample.spread(), "all": sample.values() }),
            )
        };
        json!({
            "figure": self.what,
            "threads": self.threads,
            "placement": self.placement,
            "bare": values(&self.bare),
            "floor": values(&self.floor),
            "ours": values(&self.ours),
            "peers": self.peers.iter().map(|(name, sample)| (*name, values(sample))).collect::<BTreeMap<_, _>>(),
            "ours_to_bare": (!self.bare.is_empty() && !self.ours.is_empty()).then(|| self.ours.ratio(&self.bare)),
            "ours_to_floor": (!self.floor.is_empty()).then(|| self.ours.ratio(&self.floor)),
            "ours_to_one_thread": self.beside_one,
            "goal": self.goal,
        })
    }
}

fn middle(sample: &Sample) -> String {
    if sample.is_empty() {
        return "-".to_owned();
    }
    let value = sample.median();
    match value.abs() {
        size if size >= 100_000.0 => format!("{:.0} k", value / 1e3),
        size if size >= 10_000.0 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
