//! From a fault to the end of the process, and to the complete report, with the report's own pause ledger.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::Value;

use super::process::Cpus;
use super::sample::Sample;
use super::subject::{Programs, Tracer};
use super::table::Row;

const ROUNDS: usize = 5;

/// Faults beside 1, 100 and 1,000 threads.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for threads in [1, 100, 1000] {
        rows.extend(beside(programs, threads)?);
    }
    Ok(rows)
}

fn beside(programs: &Programs, threads: usize) -> Result<Vec<Row>> {
    let mut end = row("fault to the end of the process, ms", threads, "");
    let mut report = row("fault to the complete report, ms", threads, "");
    let mut pauses: Vec<(String, Sample)> = Vec::new();
    for _ in 0..ROUNDS {
        let mut load = programs.load(threads)?;
        let fault = load.fault()?;
        load.end()?;
        end.bare.push(milliseconds_since(fault));

        let mut load = programs.load(threads)?;
        let mut tracing = programs.trace(&load, Tracer::Sickbay, Cpus::Any)?;
        let fault = load.fault()?;
        load.end()?;
        end.ours.push(milliseconds_since(fault));
        let front = tracing.process.as_mut().context("no tracer")?;
        front.hear("report")?;
        report.ours.push(milliseconds_since(fault));
        front.end()?;
        for (name, us) in ledger(&only_report(&programs.state())?) {
            match pauses.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sample)) => sample.push(us),
                None => pauses.push((name, [us].into_iter().collect())),
            }
        }
    }
    let mut rows = vec![end, report];
    rows.extend(pauses.into_iter().map(|(name, ours)| {
        let goal = if name == "pause of the others" && threads == 1000 {
            "<= 25 ms"
        } else {
            ""
        };
        Row {
            ours,
            ..row(&format!("{name}, us"), threads, goal)
        }
    }));
    Ok(rows)
}

fn row(what: &str, threads: usize, goal: &'static str) -> Row {
    Row {
        what: what.to_owned(),
        threads,
        goal,
        ..Row::default()
    }
}

/// Who waited for how long, and for what.
fn ledger(report: &Value) -> Vec<(String, f64)> {
    let pause = &report["pause"];
    let mut entries = vec![
        ("pause of the faulting thread".to_owned(), &pause["faulting_us"]),
        ("pause of the others".to_owned(), &pause["others_us"]),
    ];
    for (name, us) in pause["phases"].as_object().into_iter().flatten() {
        entries.push((format!("  of it {name}"), us));
    }
    entries
        .into_iter()
        .filter_map(|(name, us)| Some((name, us.as_f64()?)))
        .collect()
}

/// Reads the report in a state directory, and removes it.
fn only_report(state: &Path) -> Result<Value> {
    let reports = state.join("reports");
    let mut directories = fs::read_dir(&reports)?.filter_map(|entry| Some(entry.ok()?.path()));
    let report = directories
        .find(|path| path.join("report.json").exists())
        .context("there is no report")?;
    let model = serde_json::from_str(&fs::read_to_string(report.join("report.json"))?)?;
    fs::remove_dir_all(reports)?;
    Ok(model)
}

fn milliseconds_since(moment: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(moment).as_secs_f64() * 1e3
}
