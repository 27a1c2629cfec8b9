//! The recorder process: from a capture to the files of a report.
//!
//! It parses what a crashed program left behind, so it trusts nothing and owns nothing: it confines itself first
//! ([`confine`]), reads and writes through descriptors that it was given, opens nothing for writing, and may be
//! killed at any time: another takes its place then and reads less ([`Reading`]), and in the end the small record that
//! the front wrote before still stands.
//!
//! | file | subject |
//! |---|---|
//! | `role` | the process: a job in, an outcome back |
//! | `job` | what the front asks, and what it hears back |
//! | `confine` | what the process gives up before it reads anything |
//! | `compose` | capture and diagnosis become a report |
//! | `process`, `threads`, `frames`, `locks`, `modules`, `host`, `fingerprint` | parts of it |
//! | `symbols` | names and lines for frames |
//! | `place`, `recursion` | where it happened, for the sentence about it |
//! | `directories` | the process's own root and `/tmp` |
//! | `bound` | how much of what the process chose is repeated |
//! | `image` | `memory.zst`: what of a capture goes into it, and where |
//! | `attachments` | the files that hold memory |
//! | `late_core` | the core of a copied process, written when the report is in place |
//! | `extent`, `copied` | which of its memory, and reading that |

mod attachments;
mod bound;
mod compose;
mod confine;
mod copied;
mod directories;
mod extent;
mod fingerprint;
mod frames;
mod host;
mod image;
mod interpreted;
mod job;
mod late_core;
mod locks;
mod modules;
mod place;
mod process;
mod recursion;
mod role;
mod symbols;
mod threads;

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::capture::maps::Maps;
use crate::capture::{Capture, Kind, Missing};
use crate::diagnose::unwind::{CallStacks, TableCache, call_stacks};
use crate::diagnose::{self, Diagnosis, LockGraph, NoModules};
use crate::report::{Report, html, text};

pub use compose::{Sources, compose};
pub use confine::confine;
pub use directories::Directories;
pub use host::Host;
use image::{FirstPages, Image};

pub use job::{Action, CoreJob, Counted, Format, Job, Outcome, Outputs, Reading, Service, Written};
pub use late_core::{CopyFiles, Unfinished};
pub use modules::Descriptors;
pub use role::{FromRecorder, ToRecorder, main};

/// The largest capture that is read, bytes: what a tracer's memory budget allows at most, with room.
const MAX_CAPTURE: u64 = 2 << 30;

/// Writes the report that `job` asks for.
///
/// `capture` is what [`Capture::write_to`] wrote, read from its start; `modules` are the descriptors that
/// [`ModuleFile::descriptor`](crate::capture::ModuleFile::descriptor) counts. `report.json` comes last, so that it
/// names what the other files became. `count` counts an incident by its fingerprint; it is asked once at most, and may say
/// that another report's core does for this one. Never fails: what could not be done is in the outcome. Where the job asks
/// for the core of a copied process, the second value writes it, and the report once more.
pub fn record(
    job: &Job,
    capture: File,
    modules: Vec<File>,
    outputs: &Outputs,
    count: &mut dyn FnMut(&str) -> Result<Counted, String>,
) -> (Outcome, Option<Unfinished>) {
    let mut outcome = Outcome::default();
    let modules = match job.reading {
        Reading::Nothing => Vec::new(),
        Reading::All | Reading::WithoutDebugInformation => modules,
    };
    let capture = read_capture(capture).unwrap_or_else(|error| {
        let mut empty = Capture::default();
        empty.miss("capture", error);
        empty
    });
    let descriptors = Descriptors::new(&capture, &modules);
    let host = Host::read(&mut outcome.incomplete);
    let locks = locks(&capture, &mut outcome.incomplete);
    let maps = Maps::of(&capture);
    let diagnosis = explain(
        job,
        &capture,
        &maps,
        &descriptors,
        &locks,
        &mut outcome.incomplete,
    );
    let stacks = unwind(&capture, &descriptors, &mut outcome.incomplete);
    let first_pages = FirstPages::read(&capture, &maps, &descriptors);
    let image = Image::of(&capture, &maps, &first_pages, &host);
    let memory = attachments::write_memory(&image, outputs, &mut outcome);
    let sources = Sources {
        job,
        diagnosis: diagnosis.as_ref(),
        stacks: &stacks,
        locks: &locks,
        modules: &descriptors,
        directories: Directories::new(&capture, &modules),
        host: &host,
        memory: memory.is_some().then(|| image.layout()),
    };
    let composed = guarded(|| compose(&capture, &sources)).or_else(|reason| {
        outcome.miss("modules", reason);
        let without_modules = Sources {
            modules: &NoModules,
            directories: Directories::default(),
            ..sources
        };
        guarded(|| compose(&capture, &without_modules))
    });
    let mut report = match composed {
        Ok(report) => report,
        Err(reason) => {
            outcome.failure = Some(reason);
            return (outcome, None);
        }
    };
    let counted = counted(job, &report, count, &mut outcome);
    report.occurrences = counted.as_ref().map(|counted| counted.occurrences);
    report.attachments.extend(memory);
    report.logs.clone_from(&job.logs.lines);
    report.log_note = job.log_note.clone().or_else(|| job.logs.note());
    let dumped_by = counted.and_then(|counted| counted.dumped_by);
    match &dumped_by {
        Some(other) => leave_dumps_out(job, other, &mut outcome),
        None => {
            let dumps = attachments::write_dumps(&image, &report, outputs, &mut outcome);
            report.attachments.extend(dumps);
        }
    }
    note(&mut report, &outcome.incomplete);
    let core = job.core.filter(|_| dumped_by.is_none());
    let unfinished = core.map(|_| report.clone());
    outcome.core_follows = unfinished.is_some();
    if unfinished.is_some() {
        late_core::announce(&mut report);
    }
    write_report(&mut report, outputs, &mut outcome);
    outcome.readable_by = process::proven_owner(&capture);
    outcome.fingerprint = report.fingerprint.clone();
    outcome.occurrences = report.occurrences;
    outcome.cause = diagnosis.as_ref().map(|diagnosis| diagnosis.cause);
    let completed = report.fault.detail.clone();
    outcome.detail = completed.or_else(|| diagnosis.map(|diagnosis| diagnosis.detail));
    let unfinished = unfinished.map(|report| Unfinished {
        report,
        capture,
        first_pages,
        host,
    });
    (outcome, unfinished)
}

/// Says which dumps there are none of, and where to find them.
fn leave_dumps_out(job: &Job, other: &str, outcome: &mut Outcome) {
    let of_copy = job.core.map(|_| Format::Core);
    let wanted = job.formats.iter().copied().chain(of_copy);
    for format in wanted.filter(|format| format.is_dump()) {
        let reason = format!("report {other} has it of the same fault, and dump_interval is not over");
        outcome.miss(format.file_name(), reason);
    }
}

/// How often the service has had this fault, and who has dumped it.
fn counted(
    job: &Job,
    report: &Report,
    count: &mut dyn FnMut(&str) -> Result<Counted, String>,
    outcome: &mut Outcome,
) -> Option<Counted> {
    let fingerprint = report.fingerprint.as_ref()?;
    if job.counted.is_some() {
        return job.counted.clone();
    }
    match count(fingerprint) {
        Ok(counted) => Some(counted),
        Err(reason) => {
            outcome.miss("occurrences", reason);
            None
        }
    }
}

fn note(report: &mut Report, incomplete: &[Missing]) {
    for missing in incomplete {
        report.missing(missing.step.clone(), &missing.reason);
    }
}

/// Writes the renderings of a report for people, then the report itself.
fn write_report(report: &mut Report, outputs: &Outputs, outcome: &mut Outcome) {
    write_renderings(report, outputs, outcome);
    match write_json(report, &outputs.json) {
        Ok(bytes) => outcome.wrote(Format::Json, bytes),
        Err(error) => outcome.failure = Some(format!("failed to write report.json: {error}")),
    }
    outcome.incomplete = report.incomplete.iter().cloned().map(missing).collect();
}

/// Writes the report for people. One that fails is said in the others.
fn write_renderings(report: &mut Report, outputs: &Outputs, outcome: &mut Outcome) {
    type Render = fn(&Report) -> Result<String, String>;
    let renderings: [(Format, &Option<File>, Render); 2] = [
        (Format::Text, &outputs.text, |report| Ok(text::render(report))),
        (Format::Html, &outputs.html, |report| {
            html::render(report).map_err(|error| error.to_string())
        }),
    ];
    for (format, file, render) in renderings {
        let Some(file) = file else { continue };
        let written = guarded(|| render(report))
            .and_then(|text| write_text(&text?, file).map_err(|error| error.to_string()));
        match written {
            Ok(bytes) => outcome.wrote(format, bytes),
            Err(reason) => {
                report.missing(format.file_name(), &reason);
                outcome.miss(format.file_name(), reason);
            }
        }
    }
}

fn read_capture(mut file: File) -> Result<Capture, crate::capture::CaptureError> {
    file.rewind()?;
    Capture::read_from(file.take(MAX_CAPTURE))
}

/// Who waits for whom.
fn locks(capture: &Capture, missing: &mut Vec<Missing>) -> LockGraph {
    guarded(|| LockGraph::of(capture)).unwrap_or_else(|reason| {
        missing.push(Missing {
            step: "locks".to_owned(),
            reason,
        });
        LockGraph::default()
    })
}

/// Why the process took its signal, ended or does not go on. Where the mapped files are so strange that reading them fails
/// unforeseen, the answer without them still stands.
fn explain(
    job: &Job,
    capture: &Capture,
    maps: &Maps,
    modules: &Descriptors<'_>,
    locks: &LockGraph,
    missing: &mut Vec<Missing>,
) -> Option<Diagnosis> {
    if capture.facts.kind == Kind::Capture {
        return diagnose::diagnose_stuck(locks);
    }
    if capture.facts.fault.is_none() {
        return job.ended.as_ref().map(diagnose::diagnose_end);
    }
    let with_modules = guarded(|| diagnose::diagnose(capture, maps, modules));
    let found = with_modules.or_else(|reason| {
        missing.push(Missing {
            step: "diagnosis".to_owned(),
            reason,
        });
        guarded(|| diagnose::diagnose(capture, maps, &NoModules))
    });
    found.ok().flatten()
}

/// The call stacks of all threads; none where their modules are so strange that unwinding fails unforeseen.
fn unwind(capture: &Capture, modules: &Descriptors<'_>, missing: &mut Vec<Missing>) -> CallStacks {
    guarded(|| call_stacks(capture, modules, &mut TableCache::default())).unwrap_or_else(|reason| {
        missing.push(Missing {
            step: "call stacks".to_owned(),
            reason,
        });
        CallStacks::default()
    })
}

/// Runs a step over hostile input; a panic in one of the parsers ends the step and not the recorder.
fn guarded<T>(step: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().copied();
        let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        format!("internal error: {}", message.unwrap_or("no message"))
    })
}

fn write_text(text: &str, mut file: &File) -> io::Result<u64> {
    file.write_all(text.as_bytes())?;
    size(file)
}

fn write_json(report: &Report, file: &File) -> io::Result<u64> {
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()?;
    size(file)
}

fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

fn missing(incomplete: crate::report::model::Incomplete) -> Missing {
    Missing {
        step: incomplete.step,
        reason: incomplete.reason,
    }
}

impl Outcome {
    fn wrote(&mut self, format: Format, bytes: u64) {
        self.written.push(Written { format, bytes });
    }

    fn miss(&mut self, step: &str, reason: impl ToString) {
        self.incomplete.push(Missing {
            step: step.to_owned(),
            reason: reason.to_string(),
        });
    }
}

#[cfg(test)]
mod tests;
