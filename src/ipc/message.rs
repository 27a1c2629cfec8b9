//! What front and tracer say to each other.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Action, Ladder, Service};
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, SigNo, Tid};

/// The descriptors that belong to a copied process: its `mem`, `smaps` and `pagemap`, and the end of a pipe. The copy is held
/// for as long as anybody has that end open.
pub const COPY_FILES: usize = 4;

/// From a front to its tracer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToTracer {
    /// The service that this tracer is for. The first message.
    Begin(Box<Service>),
    /// Take up a process.
    Seize(Pid),
    /// Copy a process that was taken up, and let it go on.
    Capture(Pid),
    /// Say how things are: [`FromTracer::Told`].
    Tell,
    /// Say which threads were taken out of the service's work: [`FromTracer::Isolated`].
    TellIsolated,
    /// Decide about a thread that is held or parked. The answer is [`FromTracer::SettleAnswer`].
    Settle {
        /// The thread.
        tid: Tid,
        /// The first of these that can be done is.
        actions: Ladder,
        /// Who asks, as reports call it.
        asker: String,
    },
    /// Tell which signals that process takes, of those that groups are sent ([`SigNo::is_sent_to_groups`]).
    Follow(Pid),
    /// The front stops because the process that is followed has. It is to be continued when that goes on, or ends.
    Stopping,
    /// The front goes on.
    GoingOn,
    /// Let go of everything, and end.
    LetGo,
}

/// From a tracer to its front.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromTracer {
    /// Every thread of that process, and of those it had started, is held.
    Attached {
        /// The process that was asked for.
        process: Pid,
        /// How many processes are attached now.
        processes: usize,
        /// How many threads.
        threads: usize,
    },
    /// That process cannot be taken up.
    Refused {
        /// The process that was asked for.
        process: Pid,
        /// Why, with the next step.
        reason: String,
        /// Whether it is a matter of permission.
        permission: bool,
        /// Whether there is no such process.
        absent: bool,
    },
    /// A fault, with everything that was copied. The first descriptor is the capture.
    Incident(Box<Incident>),
    /// A copy of a live process. The first descriptor is the capture.
    Captured(Box<Captured>),
    /// More descriptors of the modules of that incident or capture.
    Modules {
        /// [`Incident::number`] or [`Captured::number`].
        number: u64,
    },
    /// How an incident ended that was handed over before it was settled, or that somebody has decided anew. A first
    /// descriptor, if any, is a capture to take in place of the earlier one.
    Settled {
        /// [`Incident::number`].
        number: u64,
        /// What was done in the end.
        verdict: Verdict,
        /// As in [`Incident::copy`].
        copy: Option<Pid>,
        /// How many [`FromTracer::Modules`] messages follow.
        more: usize,
    },
    /// A process ended in a way that is to be recorded. The descriptor is what /proc still said of it.
    Ended(Box<ProcessEnd>),
    /// A process that was asked for ends, and there will be no record of its end: it is an ordinary one, past the limit, or
    /// what an incident has told that is settled only now.
    Unrecorded(Pid),
    /// So many faults and ends were counted and not recorded, since this was last told by this or an incident.
    Counted(u64),
    /// How things are.
    Told(Census),
    /// The threads that were taken out of the service's work.
    Isolated(Vec<IsolatedThread>),
    /// What became of an order about a thread that was held or parked.
    SettleAnswer {
        /// The thread.
        tid: Tid,
        /// What was done with it, or why it is as before.
        outcome: Result<Action, NotSettled>,
    },
    /// The process that is followed takes a signal that this process sent it.
    Took {
        /// The signal.
        signal: SigNo,
        /// Who sent it.
        sender: Pid,
    },
    /// The service stops too often, and its configuration says to let go of it then: that happens now, and the tracer
    /// ends.
    LettingGo(String),
    /// Something that the operator should know.
    Warning(String),
    /// Nothing is traced but copied processes, and this tracer stays until they are written. It takes no orders any more.
    Lingers,
    /// A line of the tracer's log.
    Log(String),
}

/// What a tracer holds, and what it has done since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Census {
    /// Processes that are attached.
    pub processes: usize,
    /// Threads that are attached.
    pub threads: usize,
    /// Stops that were answered.
    pub stops: u64,
    /// Faults that were handed over.
    pub incidents: u64,
    /// Threads that were taken from the processes that are attached.
    pub lost: usize,
}

/// A thread that was taken out of its service's work after a fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IsolatedThread {
    /// The process.
    pub process: Pid,
    /// The thread.
    pub tid: Tid,
    /// Its name.
    pub name: String,
    /// Where it is now.
    pub state: IsolatedState,
    /// What was done; of a held thread, what will be when its probation ends.
    pub action: Action,
    /// The signal of its fault.
    pub signal: SigNo,
    /// When it faulted.
    pub since: Timestamp,
    /// When its probation ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The locks that it was seen to hold.
    pub locks: Vec<String>,
    /// The threads that wait for it now.
    pub waiters: Vec<String>,
}

#[cfg(test)]
impl IsolatedThread {
    /// A thread that faulted in 1970.
    pub(crate) fn sample(process: Pid, tid: Tid, state: IsolatedState, action: Action) -> Self {
        Self {
            process,
            tid,
            name: "worker".to_owned(),
            state,
            action,
            signal: SigNo::SEGV,
            since: Timestamp::UNIX_EPOCH,
            until: None,
            locks: Vec::new(),
            waiters: Vec::new(),
        }
    }
}

/// Where an isolated thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IsolatedState {
    /// In front of its signal.
    Held,
    /// Asleep in the kernel for good.
    Parked,
    /// It is no more.
    Ended,
}

/// Why a thread is as before, although somebody asked for an action on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotSettled {
    /// Whether there is no such thread that is held or parked.
    pub absent: bool,
    /// Why, with the next step.
    pub reason: String,
}

/// A fault and what was done about it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Counts the incidents and captures of this tracer.
    pub number: u64,
    /// The process.
    pub process: Pid,
    /// The thread.
    pub tid: Tid,
    /// The name of the thread, or of the process where that is not known.
    pub thread_name: String,
    /// The name of the process.
    pub comm: String,
    /// The signal.
    pub signal: SigNo,
    /// `si_code`, if it could be read.
    pub code: Option<i32>,
    /// `si_addr`, where the signal has one.
    pub address: Option<u64>,
    /// Program counter.
    pub pc: Option<u64>,
    /// The file that the program counter lies in.
    pub module: Option<String>,
    /// Offset of the program counter in that file, bytes.
    pub offset: Option<u64>,
    /// When the stop was seen, microseconds since 1970 UTC.
    pub time_us: i64,
    /// What was decided, and done if it is settled.
    pub verdict: Verdict,
    /// Whether that will not change. If it may, a [`FromTracer::Settled`] follows.
    pub settled: bool,
    /// A copy of the process whose core is to be written. Its files follow the capture among the descriptors, so many as
    /// [`COPY_FILES`].
    pub copy: Option<Pid>,
    /// How many [`FromTracer::Modules`] messages follow.
    pub more: usize,
    /// How many faults and ends before this one were counted and not recorded.
    pub counted: u64,
}

/// A live process that was copied because somebody asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Captured {
    /// Counts the incidents and captures of this tracer.
    pub number: u64,
    /// The process.
    pub process: Pid,
    /// Its name.
    pub comm: String,
    /// How many threads were stopped and copied.
    pub threads: usize,
    /// How many did not stop in time.
    pub left_out: usize,
    /// How long the threads were kept from running, microseconds.
    pub pause_us: u64,
    /// When they were stopped, microseconds since 1970 UTC.
    pub time_us: i64,
    /// How many [`FromTracer::Modules`] messages follow.
    pub more: usize,
}

/// What was decided and done, and why.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The actions that the policy asked for, in order.
    pub requested: Vec<Action>,
    /// The one that was taken.
    pub taken: Action,
    /// Why, as a sentence.
    pub reason: String,
    /// What was looked at.
    pub evidence: Vec<String>,
    /// The rule that decided.
    pub rule: Option<String>,
}

/// How a process ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// The process.
    pub process: Pid,
    /// Its name.
    pub comm: String,
    /// When, microseconds since 1970 UTC.
    pub time_us: i64,
    /// Exit status, or the signal that ended it.
    pub status: ExitStatus,
    /// What its control group says of a kill for memory.
    pub out_of_memory: Option<String>,
}
