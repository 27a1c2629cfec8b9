//! The two stages of an incident on its way to a report: before its recorder runs, and while it runs.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::recorder::{Job, Outcome};
use crate::report::Report;
use crate::store::{Part, PendingReport};
use crate::supervisor::recorder::{Finished, Recorder};
use crate::sys::fail;

/// How long one recorder may take.
const RECORDER_TIME: Duration = Duration::from_secs(60);

/// An incident whose recorder has not been started.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) service: String,
    /// Its number among the incidents of the service's tracer, while more of it may come.
    pub(super) number: Option<u64>,
    pub(super) headline: String,
    pub(super) pending: PendingReport,
    pub(super) small: Report,
    pub(super) job: Job,
    pub(super) capture: OwnedFd,
    pub(super) modules: Vec<OwnedFd>,
    pub(super) expected: usize,
}

/// An incident whose recorder runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) service: String,
    pub(super) headline: String,
    pub(super) pending: PendingReport,
    pub(super) small: Report,
    pub(super) parts: Vec<Part>,
    pub(super) recorder: Recorder,
    pub(super) deadline: Instant,
}

impl Waiting {
    /// Starts the recorder. An error is the line for the operator; the small record then has to do.
    pub(super) fn start(self) -> Result<Running, String> {
        let Self {
            service,
            headline,
            pending,
            small,
            job,
            capture,
            modules,
            ..
        } = self;
        let names: Vec<&str> = job.formats.iter().map(|format| format.file_name()).collect();
        let parts = match pending.open_parts(&names) {
            Ok(parts) => parts,
            Err(error) => return Err(conclude_small(&headline, pending, small, &error.to_string())),
        };
        match Recorder::start(job, capture, &parts, modules) {
            Ok(recorder) => {
                fail::point("front.incident.recorder");
                let deadline = Instant::now() + RECORDER_TIME;
                Ok(Running {
                    service,
                    headline,
                    pending,
                    small,
                    parts,
                    recorder,
                    deadline,
                })
            }
            Err(error) => Err(conclude_small(&headline, pending, small, &error.to_string())),
        }
    }
}

impl Running {
    /// Puts what the recorder has written in place of the small record. Returns the line for the operator.
    pub(super) fn conclude(self, finished: Finished) -> String {
        let Self {
            headline,
            pending,
            small,
            mut parts,
            ..
        } = self;
        let outcome = match finished {
            Finished::Done(outcome) => outcome,
            Finished::Failed(reason) => return conclude_small(&headline, pending, small, &reason),
        };
        if let Some(reason) = &outcome.failure {
            return conclude_small(&headline, pending, small, reason);
        }
        parts.retain(|part| {
            outcome
                .written
                .iter()
                .any(|written| written.format.file_name() == part.name())
        });
        let path = pending.path().display().to_string();
        match pending.commit(parts) {
            Ok(()) => {
                fail::point("front.incident.committed");
                line(
                    &headline,
                    &outcome,
                    small.action.taken.as_deref().unwrap_or_default(),
                    &path,
                )
            }
            Err(error) => format!("{headline}; only a small record, since {error}: {path}"),
        }
    }
}

/// Leaves the small record as all there is, with the reason in it.
pub(super) fn conclude_small(
    headline: &str,
    pending: PendingReport,
    mut small: Report,
    reason: &str,
) -> String {
    small.incomplete.clear();
    small.missing("report", reason);
    let path = pending.path().display().to_string();
    match pending.replace_small(&small) {
        Ok(()) => format!("{headline}; only a small record, since {reason}: {path}"),
        Err(error) => format!("{headline}; only a small record, since {reason} ({error}): {path}"),
    }
}

fn line(headline: &str, outcome: &Outcome, taken: &str, path: &str) -> String {
    // The sentence about an exit begins as the headline ends.
    let repeated = headline.rsplit_once(" was ").map_or("", |(_, what)| what);
    let detail = match outcome.detail.as_deref() {
        Some(detail) if repeated.is_empty() => format!(": {detail}"),
        Some(detail) => detail.strip_prefix(repeated).unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let action = match taken {
        "" => String::new(),
        "deliver" => "; delivered".to_owned(),
        "suppress" => "; suppressed".to_owned(),
        other => format!("; {other}"),
    };
    format!("{headline}{detail}{action}; report {path}")
}
