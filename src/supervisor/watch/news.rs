//! What a watch has to say.

use std::os::fd::OwnedFd;

use crate::config::Action;
use crate::ipc::{Captured, Incident, IsolatedThread, NotSettled, ProcessEnd, Verdict};
use crate::sys::{Pid, SigNo, Tid};

/// What a watch has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// Every thread of a process is held, and so many in all.
    Attached { processes: usize, threads: usize },
    /// That process cannot be taken up.
    Refused(Refusal),
    /// A fault, with its capture and modules.
    Incident(Box<Incident>, Vec<OwnedFd>),
    /// A copy of a live process, with its modules.
    Captured(Box<Captured>, Vec<OwnedFd>),
    /// More modules of the incident or copy of that number.
    Modules(u64, Vec<OwnedFd>),
    /// How an incident ended that was told before.
    Settled(Settlement),
    /// A process ended in a way that is to be recorded.
    Ended(Box<ProcessEnd>, Vec<OwnedFd>),
    /// The end of that process was seen and leaves no record.
    Unrecorded(Pid),
    /// So many faults and ends were counted and not recorded.
    Counted(u64),
    /// The tracer said how things are: [`Watch::census`].
    Census,
    /// The threads that were taken out of the service's work.
    Isolated(Vec<IsolatedThread>),
    /// What became of an order about a thread that was held.
    SettleAnswer(Tid, Result<Action, NotSettled>),
    /// The program takes a signal from that sender.
    Took { signal: SigNo, sender: Pid },
    /// Something that the operator should know.
    Warning(String),
    /// The tracer lets go, for that reason; [`News::LetGo`] follows.
    LettingGo(String),
    /// A line of the tracer's log.
    Log(String),
    /// The tracer did not answer, and has been ended; [`News::Replaced`] or [`News::GivenUp`] follows.
    Silent,
    /// The tracer died; another one takes the service up again.
    Replaced,
    /// Tracers die again and again; the service runs on unsupervised.
    GivenUp,
    /// The tracer was let go, and has ended.
    LetGo,
}

impl News {
    /// Whether it says that a tracer is gone, with what it was asked for.
    pub(crate) fn is_of_tracers_end(&self) -> bool {
        matches!(self, Self::Replaced | Self::GivenUp | Self::LetGo)
    }
}

/// How an incident ended that was told before it was settled.
#[derive(Debug)]
pub(crate) struct Settlement {
    /// Its number among the incidents of the tracer.
    pub(crate) number: u64,
    /// What was done in the end.
    pub(crate) verdict: Verdict,
    /// How many messages with modules follow.
    pub(crate) more: usize,
    /// Whether the files of a copied process come with the capture.
    pub(crate) copied: bool,
    /// A capture in place of the earlier one, and its modules; or nothing.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// A process that cannot be taken up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot attach to {process}: {reason}")]
pub struct Refusal {
    /// The process.
    pub process: Pid,
    /// Why, with the next step.
    pub reason: String,
    /// Whether it is a matter of permission.
    pub permission: bool,
    /// Whether there is no such process.
    pub absent: bool,
}
