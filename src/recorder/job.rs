//! What the front asks of a recorder, and what it hears back.

use std::fs::File;

use serde::{Deserialize, Serialize};

use crate::capture::Missing;
use crate::config::{CoreExtent, Size};
use crate::diagnose::{Cause, Ended};
use crate::logs::Collected;

/// One report to write.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// The report's id.
    pub id: String,
    /// The service.
    pub service: Service,
    /// What was done to the thread; none where there was nothing to decide.
    pub action: Option<Action>,
    /// How the process ended, for a capture of [`Kind::Exit`](crate::capture::Kind::Exit).
    pub ended: Option<Ended>,
    /// What is known of the fault, where that has been asked already.
    pub counted: Option<Counted>,
    /// What to write beside `report.json`.
    pub formats: Vec<Format>,
    /// How much is read of the files that the process has mapped.
    pub reading: Reading,
    /// The core to write of a copy of the process, once the report is in place.
    pub core: Option<CoreJob>,
    /// What the front could not do, for the report's `incomplete`.
    pub missing: Vec<Missing>,
    /// Why there are no log lines, where some were wanted.
    pub log_note: Option<String>,
    /// The service's last log lines; they travel beside the job.
    #[serde(skip)]
    pub logs: Collected,
}

/// What the front knows of a fault, by its fingerprint.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// How often the service has had it, this time included.
    pub occurrences: u64,
    /// The report whose core or minidump has to do for this one as well.
    pub dumped_by: Option<String>,
}

/// How much a recorder reads of the files that the process has mapped. Where one dies over them, another reads less.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// All that tells something.
    #[default]
    All,
    /// No debug information: names come from symbol tables alone, and nothing has a line.
    WithoutDebugInformation,
    /// Nothing: calls are followed by frame pointers, and nothing has a name.
    Nothing,
}

impl Reading {
    /// The next that reads less.
    pub fn less(self) -> Option<Self> {
        match self {
            Self::All => Some(Self::WithoutDebugInformation),
            Self::WithoutDebugInformation => Some(Self::Nothing),
            Self::Nothing => None,
        }
    }

    /// What is missing of a report.
    pub fn left_out(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::WithoutDebugInformation => Some("debug information"),
            Self::Nothing => Some("mapped files"),
        }
    }
}

/// A core that is written of a copy of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CoreJob {
    /// How much memory it holds.
    pub extent: CoreExtent,
    /// At most that much.
    pub limit: Size,
}

/// The service that an incident belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Service {
    /// Its configured name.
    pub name: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// The unit's invocation id.
    pub invocation_id: Option<String>,
    /// Its cgroup; read from the capture where it is not given.
    pub cgroup: Option<String>,
}

/// What was done to the faulting thread.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Action {
    /// The actions that the rule asked for, in order.
    pub requested: Vec<String>,
    /// The one that was taken.
    pub taken: String,
    /// Why.
    pub reason: String,
    /// What that rests on.
    pub evidence: Vec<String>,
    /// The rule that matched.
    pub rule: Option<String>,
}

/// A file that a recorder can write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `report.json`: always written.
    Json,
    /// `report.txt`.
    Text,
    /// `report.html`.
    Html,
    /// `memory.zst`.
    Memory,
    /// `core.zst`.
    Core,
    /// `minidump.dmp`.
    Minidump,
}

/// Where a recorder writes: empty files that the front opened.
#[derive(Debug)]
pub struct Outputs {
    /// `report.json`.
    pub json: File,
    /// `report.txt`.
    pub text: Option<File>,
    /// `report.html`.
    pub html: Option<File>,
    /// `memory.zst`.
    pub memory: Option<File>,
    /// `core.zst`.
    pub core: Option<File>,
    /// `minidump.dmp`.
    pub minidump: Option<File>,
}

/// What became of a job.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The files that are complete, in the order in which they were written.
    pub written: Vec<Written>,
    /// Why `report.json` could not be written, if so; nothing is worth keeping then.
    pub failure: Option<String>,
    /// The cause, for log lines.
    pub cause: Option<Cause>,
    /// The sentence about it.
    pub detail: Option<String>,
    /// The user that provably owned the process and may read its report; none without proof.
    pub readable_by: Option<u32>,
    /// What the report lacks; in a message, the end of that list.
    pub incomplete: Vec<Missing>,
    /// The report's fingerprint.
    pub fingerprint: Option<String>,
    /// How often the service has had this fault.
    pub occurrences: Option<u64>,
    /// Whether the core of a copied process is still to come.
    pub core_follows: bool,
}

/// What of a report's `incomplete` fits into a message, bytes of JSON.
const MAX_INCOMPLETE: usize = 16 << 10;
/// What of a sentence does, bytes; JSON may need six for each.
const MAX_SENTENCE: usize = 2 << 10;

impl Outcome {
    /// The same in the size of a message. The report has all of it: what a process chose there has larger bounds.
    pub(super) fn abridged(mut self) -> Self {
        let mut left = MAX_INCOMPLETE;
        // What came last concerns the files, of which the front speaks.
        let last = self.incomplete.iter().rev().take_while(|missing| {
            let size = serde_json::to_vec(missing).map_or(usize::MAX, |json| json.len());
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let left_out = self.incomplete.len() - last.count();
        self.incomplete.drain(..left_out);
        for sentence in self.detail.iter_mut().chain(&mut self.failure) {
            if sentence.len() > MAX_SENTENCE {
                let places = sentence.char_indices().map(|(place, _)| place);
                let end = places.take_while(|place| *place <= MAX_SENTENCE).last();
                sentence.truncate(end.unwrap_or(0));
                sentence.push_str(" ...");
            }
        }
        self
    }
}

/// A complete file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Written {
    /// What it is.
    pub format: Format,
    /// Its size, bytes.
    pub bytes: u64,
}

impl Format {
    /// The name of the file in a report's directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Json => "report.json",
            Self::Text => "report.txt",
            Self::Html => "report.html",
            Self::Memory => "memory.zst",
            Self::Core => "core.zst",
            Self::Minidump => "minidump.dmp",
        }
    }

    /// Whether it holds memory for a debugger, beside what every report has of it.
    pub const fn is_dump(self) -> bool {
        matches!(self, Self::Core | Self::Minidump)
    }

    /// What a report calls the file among its attachments.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Html => "html",
            Self::Memory => "memory",
            Self::Core => "core",
            Self::Minidump => "minidump",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Channel;

    #[test]
    fn whatever_a_process_chose_an_outcome_fits_into_a_message() {
        let missing = |number: usize| Missing {
            step: format!("module {number}"),
            reason: "\u{1}".repeat(4096),
        };
        let outcome = Outcome {
            incomplete: (0..1000)
                .map(missing)
                .chain([Missing {
                    step: "core.zst".to_owned(),
                    reason: "too large".to_owned(),
                }])
                .collect(),
            detail: Some("\u{1}\u{fffd}".repeat(100_000)),
            failure: Some("\u{1}".repeat(100_000)),
            ..Outcome::default()
        };
        let told = outcome.abridged();
        assert_eq!(told.incomplete.last().unwrap().step, "core.zst");
        let (mut ours, _theirs) = Channel::pair().unwrap();
        ours.send(&told, Vec::new()).unwrap();
    }
}
