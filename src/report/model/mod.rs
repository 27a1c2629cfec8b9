//! The model of a report: what `report.json` holds, schema [`SCHEMA`].
//!
//! The names are an interface, explained field by field in `FORMAT.md`. They only ever grow: readers
//! ignore what they do not know, and writers leave out what they do not have, so that nearly everything is
//! optional. A section without content (`fault`, `action`, ...) is a default value here and absent in JSON, which
//! spares both those who fill it and those who read it a layer of `Option`.

mod fault;
mod process;
mod thread;
mod value;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

pub use fault::{Access, Action, CodeLine, Exit, Fault, Instruction, Operand, Sender, Signal};
pub use process::{Host, Limit, LogLine, Map, Module, OpenFile, Process, Service};
pub use thread::{Deadlock, Frame, FrameKind, Lock, Memory, Stack, Syscall, Thread, Waiting};
pub use value::{Address, HexBytes};

use value::is_default;

/// The schema that this program writes.
pub const SCHEMA: &str = "sickbay.report/1";

/// Everything known about one incident.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The report's id: the name of its directory in the store.
    pub id: String,
    /// When the incident was noticed.
    pub time: Timestamp,
    /// What gave rise to the report.
    #[serde(default)]
    pub kind: Kind,
    /// The machine.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host: Host,
    /// The service that the process belongs to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: Service,
    /// The process.
    pub process: Process,
    /// The signal; without content if there was none (a capture on demand, an exit with a status).
    pub signal: Signal,
    /// What happened, and to which thread.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fault: Fault,
    /// How the process ended, for [`Kind::Exit`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub exit: Exit,
    /// What was done about it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub action: Action,
    /// The threads, the faulting one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<Thread>,
    /// Locks that are held or waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Lock>,
    /// Threads that wait for each other in a circle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deadlocks: Vec<Deadlock>,
    /// Memory around what the faulting thread's registers point to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<Memory>,
    /// The instructions around the fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<CodeLine>,
    /// The program and the libraries that it had mapped, by address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    /// All mappings, by address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<Map>,
    /// Open files, by descriptor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OpenFile>,
    /// Resource limits by the names of `/proc/PID/limits`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub limits: IndexMap<String, Limit>,
    /// Environment variables that configuration allows.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environment: IndexMap<String, String>,
    /// The service's last log lines, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogLine>,
    /// What to know about `logs`: where they were looked for, why there are none.
    pub log_note: Option<String>,
    /// How long threads were kept from running.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pause: Pause,
    /// What could not be had, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Incomplete>,
    /// Equal for incidents that look alike.
    pub fingerprint: Option<String>,
    /// How many incidents with this fingerprint the service has had, this one included.
    pub occurrences: Option<u64>,
    /// Further files in the report's directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// What gave rise to a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A fatal signal, seen in one thread before it took effect.
    #[default]
    Fault,
    /// A process ended in a way nobody saw coming.
    Exit,
    /// Somebody asked for a report of a live process.
    Capture,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The pause ledger: how long threads were kept from running, in microseconds.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pause {
    /// The faulting thread.
    pub faulting_us: Option<u64>,
    /// The longest pause of any other thread.
    pub others_us: Option<u64>,
    /// Duration of each phase in microseconds, in order.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub phases: IndexMap<String, u64>,
}

/// Something that the report should hold and does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incomplete {
    /// What was attempted, for example `stack of thread 4712`.
    pub step: String,
    /// Why it did not succeed.
    pub reason: String,
}

/// A file in the report's directory.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// What it is, for example `memory` or `core`.
    pub kind: String,
    /// Its name in the report's directory.
    pub file: String,
    /// Its size.
    pub bytes: Option<u64>,
}

impl Report {
    /// A report with nothing but what every report has; the signal is filled in by the caller.
    pub fn new(id: impl Into<String>, time: Timestamp, process: Process) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: id.into(),
            time,
            kind: Kind::default(),
            host: Host::default(),
            service: Service::default(),
            process,
            signal: Signal::default(),
            fault: Fault::default(),
            exit: Exit::default(),
            action: Action::default(),
            threads: Vec::new(),
            locks: Vec::new(),
            deadlocks: Vec::new(),
            memory: Vec::new(),
            code: Vec::new(),
            modules: Vec::new(),
            maps: Vec::new(),
            files: Vec::new(),
            limits: IndexMap::new(),
            environment: IndexMap::new(),
            logs: Vec::new(),
            log_note: None,
            pause: Pause::default(),
            incomplete: Vec::new(),
            fingerprint: None,
            occurrences: None,
            attachments: Vec::new(),
        }
    }

    /// Notes something that could not be had.
    pub fn missing(&mut self, step: impl Into<String>, reason: impl ToString) {
        self.incomplete.push(Incomplete {
            step: step.into(),
            reason: reason.to_string(),
        });
    }

    /// The thread that took the signal.
    pub fn faulting_thread(&self) -> Option<&Thread> {
        self.threads.iter().find(|thread| thread.faulting).or_else(|| {
            self.threads
                .iter()
                .find(|thread| Some(thread.tid) == self.fault.tid)
        })
    }

    /// The module that is mapped at that address.
    pub fn module_at(&self, address: Address) -> Option<&Module> {
        self.modules.iter().find(|module| module.contains(address))
    }
}
