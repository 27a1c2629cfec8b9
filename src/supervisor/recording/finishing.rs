//! A report that is in place and whose core is still being written.
//!
//! A large core takes its time, and nobody waits for it: the report is in the store already, and is replaced by one that
//! names the core when that is complete. Whatever goes wrong meanwhile, the report stands.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::recorder::{Format, Outcome, ToRecorder};
use crate::store::{Part, PendingReport};
use crate::supervisor::recorder::{Finished, Recorder};
use crate::sys::fail;

use super::stage::complete;

/// How long the core of one process may take.
const CORE_TIME: Duration = Duration::from_secs(1800);

/// A report whose core is being written.
#[derive(Debug)]
pub(super) struct Finishing {
    pending: PendingReport,
    parts: Vec<Part>,
    pub(super) recorder: Recorder,
    pub(super) deadline: Instant,
}

impl Finishing {
    /// Has the recorder go on with the core. `formats` are those that were asked for. An error is a line for the operator.
    pub(super) fn start(
        pending: PendingReport,
        mut recorder: Recorder,
        formats: &[Format],
    ) -> Result<Self, String> {
        let told =
            |error: &dyn std::fmt::Display| format!("no core for {}: {error}", pending.path().display());
        let for_people = |format: &Format| matches!(format, Format::Text | Format::Html);
        let formats: Vec<Format> = [Format::Json, Format::Core]
            .into_iter()
            .chain(formats.iter().copied().filter(for_people))
            .collect();
        let names: Vec<&str> = formats.iter().map(|format| format.file_name()).collect();
        let parts = pending.open_parts(&names).map_err(|error| told(&error))?;
        let files: Result<Vec<_>, _> = parts
            .iter()
            .map(|part| part.as_fd().try_clone_to_owned())
            .collect();
        let files = files.map_err(|error| told(&error))?;
        let order = ToRecorder::Finish { formats };
        recorder
            .channel
            .send(&order, files)
            .map_err(|error| told(&error))?;
        Ok(Self {
            pending,
            parts,
            recorder,
            deadline: Instant::now() + CORE_TIME,
        })
    }

    /// Puts the core into the report. Returns a line for the operator.
    pub(super) fn conclude(self, finished: Finished) -> String {
        let path = self.pending.path().display().to_string();
        let outcome = match finished {
            Finished::Done(outcome) => outcome,
            Finished::Failed(reason) => return format!("no core for {path}: {reason}"),
        };
        if let Some(reason) = &outcome.failure {
            return format!("no core for {path}: {reason}");
        }
        let line = line(&outcome, &path);
        match self.pending.commit(complete(&outcome, self.parts)) {
            Ok(()) => {
                fail::point("front.core.committed");
                line
            }
            Err(error) => format!("no core for {path}: {error}"),
        }
    }
}

fn line(outcome: &Outcome, path: &str) -> String {
    let name = Format::Core.file_name();
    let written = outcome
        .written
        .iter()
        .find(|written| written.format == Format::Core);
    let told = outcome.incomplete.iter().rfind(|missing| missing.step == name);
    match (written, told) {
        (Some(written), None) => format!("core complete, {} bytes: {path}/{name}", written.bytes),
        (Some(_), Some(missing)) => format!("core written, but {}: {path}/{name}", missing.reason),
        (None, missing) => {
            let reason = missing.map_or("it was not written", |missing| missing.reason.as_str());
            format!("no core for {path}: {reason}")
        }
    }
}
