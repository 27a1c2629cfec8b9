//! How long a thread that was silent waits for its answer while four others storm.

use anyhow::Result;

use super::process::Cpus;
use super::subject::{Programs, Tracer};
use super::table::Row;

const ROUNDS: usize = 5;
const TURNS: usize = 100;

/// From the signal to one silent thread among 8,000 until its handler has run: the middle of so many, and the longest.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let mut load = programs.load(8000)?;
    let [mut middle, mut longest] = ["median", "longest of 100"].map(|which| Row {
        what: format!("answer to a silent thread in a storm, {which}, ms"),
        threads: 8000,
        goal: if which == "median" { "<= 5" } else { "" },
        ..Row::default()
    });
    for _ in 0..ROUNDS {
        for tracer in [Tracer::Nobody, Tracer::Sickbay] {
            let tracing = programs.trace(&load, tracer, Cpus::Any)?;
            let (median, most) = load.silent(TURNS)?;
            tracing.release()?;
            match tracer {
                Tracer::Nobody => (middle.bare.push(median), longest.bare.push(most)),
                _ => (middle.ours.push(median), longest.ours.push(most)),
            };
        }
    }
    Ok(vec![middle, longest])
}
