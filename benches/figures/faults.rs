//! From a fault to the end of the process, and to the complete report, with the report's own pause ledger; what others take
//! to look at as many threads.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::process::Cpus;
use super::sample::Sample;
use super::subject::{Load, Programs, Tracer, Tracing};
use super::table::Row;

const ROUNDS: usize = 5;

/// Other tools that copy or show every thread of a process.
const PEERS: [&str; 3] = ["eu-stack", "gcore", "gdb"];
/// What the large process of [`measure_large`] has written to, MB, and what has to be free beside it.
const LARGE: usize = 4096;
const SPARE: usize = 2048;

/// Faults beside 1, 100 and 1,000 threads, and one that is looked at alone.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for threads in [1, 100, 1000] {
        rows.extend(beside(programs, threads)?);
    }
    let pause = rows
        .iter_mut()
        .find(|row| row.what == "pause of the others, us" && row.threads == 1000);
    if let Some(pause) = pause {
        add_peers(programs, pause)?;
    }
    rows.extend(alone(programs, 1000)?);
    Ok(rows)
}

/// A fault in a process of 4 GB: bare, supervised, and with a core of all its memory, in turn. None where the machine has
/// too little memory.
pub(crate) fn measure_large(programs: &Programs) -> Result<Vec<Row>> {
    if megabytes("/proc/meminfo", "MemAvailable:")? < LARGE + SPARE {
        return Ok(Vec::new());
    }
    let mut end = row("fault to the end of a process of 4 GB, ms", 1, "<= bare + 20 ms");
    let mut whole = row("the same with a full core, ms", 1, "<= bare + 100 ms");
    let mut complete = row("fault to the complete full core, ms", 1, "");
    for _ in 0..3 {
        let bare = large_end(programs, |load| programs.trace(load, Tracer::Nobody, Cpus::Any))?;
        end.bare.push(bare.end);
        whole.bare.push(bare.end);
        let watched = large_end(programs, |load| programs.trace(load, Tracer::Sickbay, Cpus::Any))?;
        end.ours.push(watched.end);
        let kept = large_end(programs, |load| programs.keep_all(load))?;
        whole.ours.push(kept.end);
        complete.ours.push(kept.complete);
        fs::remove_dir_all(programs.state())?;
    }
    Ok(vec![end, whole, complete])
}

/// How long after its fault a process had ended, and its tracer too, ms.
struct LargeEnd {
    end: f64,
    complete: f64,
}

fn large_end(programs: &Programs, trace: impl FnOnce(&Load) -> Result<Tracing>) -> Result<LargeEnd> {
    let mut load = programs.load(1)?;
    load.fill(LARGE)?;
    anyhow::ensure!(
        megabytes(&format!("/proc/{}/status", load.pid()), "VmRSS:")? >= LARGE,
        "the process did not take its memory"
    );
    let tracing = trace(&load)?;
    let fault = load.fault()?;
    load.end()?;
    let end = milliseconds_since(fault);
    tracing.end()?;
    Ok(LargeEnd {
        end,
        complete: milliseconds_since(fault),
    })
}

/// A signal that another process sends and the policy suppresses stops its one thread alone.
fn alone(programs: &Programs, threads: usize) -> Result<Vec<Row>> {
    let mut faulting = row("pause of one thread alone, us", threads, "<= 1 ms");
    let mut others = row("pause of the others meanwhile, us", threads, "0");
    for _ in 0..ROUNDS {
        let load = programs.load(threads)?;
        let mut tracing = programs.suppress(&load)?;
        kill(Pid::from_raw(load.pid()), Signal::SIGTERM)?;
        tracing.process.as_mut().context("no tracer")?.hear("report")?;
        tracing.release()?;
        for (name, us) in ledger(&only_report(&programs.state())?) {
            match name.as_str() {
                "pause of the faulting thread" => faulting.ours.push(us),
                "pause of the others" => others.ours.push(us),
                _ => {}
            }
        }
    }
    Ok(vec![faulting, others])
}

/// How long the other tools take for a process with as many threads, which they hold meanwhile.
fn add_peers(programs: &Programs, row: &mut Row) -> Result<()> {
    let load = programs.load(row.threads)?;
    let pid = load.pid().to_string();
    for name in PEERS {
        let mut command = Command::new(name);
        match name {
            "gcore" => command.arg("-o").arg(programs.scratch().join("core")),
            "gdb" => command.args(["-nx", "-q", "-batch", "-ex", "thread apply all bt", "-p"]),
            _ => command.arg("-p"),
        };
        command
            .arg(&pid)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let began = Instant::now();
        // Its status says whether every frame was found, which is not what is compared.
        if command.status().is_ok() {
            row.add_other(name, began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(())
}

/// What a line of a file of /proc says in kB.
fn megabytes(file: &str, name: &'static str) -> Result<usize> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    Ok(kib.context(name)? / 1024)
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
pub(crate) fn ledger(report: &Value) -> Vec<(String, f64)> {
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
pub(crate) fn only_report(state: &Path) -> Result<Value> {
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
