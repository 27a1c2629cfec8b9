//! What the call stacks of a process take: of a copy of it, through the library, as a recorder works them out.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::Result;
use sickbay::capture::fault::{Copied, Subject, copy};
use sickbay::capture::{Prospect, freeze};
use sickbay::config::ReportOptions;
use sickbay::diagnose::LockGraph;
use sickbay::diagnose::unwind::{TableCache, call_stacks};
use sickbay::recorder::{Descriptors, Directories, Host, Job, Sources, compose};
use sickbay::sys::ptrace::{self, Options};
use sickbay::sys::tasks::Tasks;
use sickbay::sys::{Pid, StartTime};

use super::subject::{Load, Programs};
use super::table::Row;

const ROUNDS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(5);

/// All threads of a process with 1 and with 1,000: with and without their unwind tables read before, and the report.
pub(crate) fn measure(programs: &Programs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for threads in [1, 1000] {
        let load = programs.load(threads)?;
        let copied = copied(&load)?;
        drop(load);
        let capture = copied.capture.clone();
        let files: Vec<File> = copied.into_files().collect();
        let modules = Descriptors::new(&capture, &files);
        let goal = if threads == 1000 { "<= 5 ms" } else { "" };
        let mut fresh = row("unwinding, tables not read before, ms", threads, "");
        let mut again = row("unwinding, tables known, ms", threads, goal);
        let mut rate = row("frames/s, tables known", threads, "");
        let mut report = row("the report's other parts, symbols included, ms", threads, "");
        let host = Host::read(&mut Vec::new());
        let locks = LockGraph::of(&capture);
        for _ in 0..ROUNDS {
            let mut cache = TableCache::default();
            let began = Instant::now();
            call_stacks(&capture, &modules, &mut cache);
            fresh.ours.push(milliseconds(began));
            let began = Instant::now();
            let stacks = call_stacks(&capture, &modules, &mut cache);
            let taken = began.elapsed().as_secs_f64();
            again.ours.push(taken * 1e3);
            let frames: usize = stacks.threads.iter().map(|stack| stack.frames.len()).sum();
            rate.ours.push(frames as f64 / taken);
            let began = Instant::now();
            compose(
                &capture,
                &Sources {
                    job: &Job::default(),
                    diagnosis: None,
                    stacks: &stacks,
                    locks: &locks,
                    modules: &modules,
                    directories: Directories::new(&capture, &files),
                    host: &host,
                    memory: None,
                },
            );
            report.ours.push(milliseconds(began));
        }
        rows.extend([fresh, again, rate, report]);
    }
    Ok(rows)
}

/// Copies a process all of whose threads are stopped for it, and lets them go.
fn copied(load: &Load) -> Result<Copied> {
    let process = Pid(load.pid());
    let tids = Tasks::open(process)?.list()?;
    for tid in &tids {
        ptrace::seize(*tid, Options::threads())?;
    }
    let mut frozen = freeze(process, Prospect::GoesOn, tids, PATIENCE);
    let subject = Subject {
        tid: process.leader(),
        thread: None,
        process,
        start: StartTime(0),
        signal: None,
        siginfo: None,
        handled: None,
        seen: Instant::now(),
        status: None,
    };
    let copied = copy(&subject, &mut frozen, &ReportOptions::default());
    for (thread, _) in frozen.threads {
        thread.detach(None)?;
    }
    Ok(copied)
}

fn row(what: &str, threads: usize, goal: &'static str) -> Row {
    Row {
        what: what.to_owned(),
        threads,
        goal,
        ..Row::default()
    }
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
