//! From a fault to what is done instead of dying: exceptions per second in one thread, and how long the first one takes: in a
//! program that has just begun, and in a service that has been up for a while.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::faults::{ledger, only_report};
use super::process::{Cpus, Process, Stream};
use super::subject::{Programs, sickbay};
use super::table::Row;

const ROUNDS: usize = 3;
/// For how long exceptions are thrown.
const TIME: Duration = Duration::from_secs(2);
/// Every fault is thrown; one report tells how long its thread waited.
const THROW: &str = "[[service]]\nname = \"bench\"\non_fault = \"throw\"\n[service.isolation]\n\
    throws_per_second = 1000000\n[service.report]\nmax_per_minute = 1\n";

/// Of a service: for how long it was quiet, seconds, its idle threads and its memory, MB.
const SERVICE: [&str; 3] = ["3", "100", "1024"];

/// Exceptions out of faults.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let Some(thrower) = programs.thrower() else {
        return Ok(Vec::new());
    };
    let config = programs.scratch().join("throw.toml");
    fs::write(&config, THROW)?;
    let mut rate = row("faults turned into exceptions, 1/s", 1, ">= 2,000");
    let mut at_once = row("fault to exception, the first one, at once, us", 1, "");
    let mut in_service = row("fault to exception, the first one, 1 GB, us", 100, "<= 1 ms");
    for _ in 0..ROUNDS {
        let (thrown, first) = throw(programs, thrower, &config, &[])?;
        rate.ours.push(thrown);
        at_once.ours.push(first);
        in_service
            .ours
            .push(throw(programs, thrower, &config, &SERVICE)?.1);
    }
    Ok(vec![rate, at_once, in_service])
}

/// Exceptions a second, and how long the thread waited for the first, microseconds.
fn throw(programs: &Programs, thrower: &Path, config: &Path, service: &[&str]) -> Result<(f64, f64)> {
    let mut command = Command::new(sickbay());
    command.arg("run").arg("--state-dir").arg(programs.state());
    command
        .arg("--config")
        .arg(config)
        .args(["--name", "bench", "--"]);
    command.arg(thrower).arg(TIME.as_secs().to_string()).args(service);
    let mut process = Process::start(&mut command, Cpus::Any, Stream::Output)?;
    let answer = process.hear("caught")?;
    let caught = answer.split(' ').nth(1).context("no number of exceptions")?;
    let rate = caught.parse::<f64>()? / TIME.as_secs_f64();
    process.end()?;
    let report = only_report(&programs.state())?;
    let waited = ledger(&report)
        .into_iter()
        .find(|(name, _)| name == "pause of the faulting thread");
    Ok((rate, waited.context("no pause in the report")?.1))
}

fn row(what: &str, threads: usize, goal: &'static str) -> Row {
    Row {
        what: what.to_owned(),
        threads,
        goal,
        ..Row::default()
    }
}
