//! What an idle supervisor costs: memory, wake-ups, the size of the program.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::Cpus;
use super::subject::{self, Programs, Tracer};
use super::table::Row;

/// The audits that follow an attachment (10 ms, 100 ms, 1 s) are over by then.
const SETTLED: Duration = Duration::from_millis(1500);
/// How long wake-ups are counted.
const TIME: Duration = Duration::from_secs(4);

/// Memory and wake-ups beside 100 and 10,000 idle threads; the size of the program.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let size = fs::metadata(subject::sickbay())?.len();
    let mut rows = vec![row(
        "size of the program, MB",
        0,
        "<= 8 stripped",
        size as f64 / 1e6,
    )];
    let mut tracers = Vec::new();
    for (threads, memory) in [(100, "<= 8"), (10_000, "<= 24")] {
        let load = programs.load(threads)?;
        let tracing = programs.trace(&load, Tracer::Sickbay, Cpus::Any)?;
        let front = tracing.process.as_ref().context("no tracer")?.pid();
        let tracer = status(load.pid(), "TracerPid")? as i32;
        std::thread::sleep(SETTLED);
        let before = [front, tracer].map(|pid| status(pid, "voluntary_ctxt_switches"));
        std::thread::sleep(TIME);
        for ((name, pid), before) in [("front", front), ("tracer", tracer)].into_iter().zip(before) {
            let switches = status(pid, "voluntary_ctxt_switches")? - before?;
            let resident = status(pid, "VmRSS")? / 1024.0;
            if name == "tracer" {
                tracers.push((threads, resident));
            }
            rows.push(row(
                &format!("RSS of the idle {name}, MiB"),
                threads,
                memory,
                resident,
            ));
            let per_second = switches / TIME.as_secs_f64();
            rows.push(row(
                &format!("wake-ups of the idle {name} /s"),
                threads,
                "<= 1",
                per_second,
            ));
        }
        tracing.release()?;
    }
    if let [(few, less), (many, more)] = tracers[..] {
        let growth = (more - less) * 1024.0 * 1024.0 / (many - few) as f64;
        rows.push(row(
            "memory for each further idle thread, B",
            many,
            "<= 1024",
            growth,
        ));
    }
    Ok(rows)
}

fn row(what: &str, threads: usize, goal: &'static str, value: f64) -> Row {
    Row {
        what: what.to_owned(),
        threads,
        goal,
        ours: [value].into_iter().collect(),
        ..Row::default()
    }
}

/// A number of /proc/PID/status (proc(5)).
fn status(pid: i32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("no {name} in the status of {pid}"))
}
