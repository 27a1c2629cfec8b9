//! What forbids an action on a fault, whoever asks for it: of the facts alone, before anything is tried.

use super::matching::{FaultFacts, RaisedBy};
use crate::config::Action;
use crate::sys::SigNo;

/// What is said of an action that would end the main thread.
const NOT_FOR_MAIN: &str = "not for the main thread: without it /proc tells nothing of the process";
/// The same of one that would take the only thread away.
const NOT_FOR_ONLY: &str = "not for the only thread of a process, which would leave nothing";

/// A thread that sleeps since its fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asleep {
    /// Whether it is the thread group leader.
    pub main_thread: bool,
    /// Whether it is the only thread that its process has left.
    pub single_threaded: bool,
}

/// What an action is that cannot be taken on this fault: "too dangerous: ..."; None if it can be taken.
pub(super) fn obstacle(action: Action, facts: &FaultFacts<'_>) -> Option<String> {
    let origin = facts.raised_by();
    match action {
        Action::Deliver => return None,
        Action::Suppress if origin == RaisedBy::OtherProcess => return None,
        Action::Suppress => {
            return Some(format!(
                "for signals that another process sent; {} {}",
                facts.signal,
                origin.words()
            ));
        }
        _ => {}
    }
    if !facts.blames_thread() {
        return Some(format!(
            "for a fault of the thread itself; {} {}",
            facts.signal,
            origin.words()
        ));
    }
    let means = match action {
        Action::Drain if facts.main_thread => Action::Park,
        Action::Drain => Action::Exit,
        other => other,
    };
    if let Some(danger) = facts
        .dangers
        .iter()
        .find(|danger| !danger.allows.contains(&means))
    {
        return Some(format!("too dangerous: {}", danger.what));
    }
    match action {
        Action::Skip if !matches!(facts.signal, SigNo::SEGV | SigNo::BUS | SigNo::FPE) => Some(format!(
            "for accesses to memory and divisions; {} is neither",
            facts.signal
        )),
        Action::Exit | Action::Unwind if facts.main_thread => Some(NOT_FOR_MAIN.to_owned()),
        Action::Hold | Action::Unwind | Action::Exit | Action::Park | Action::Drain
            if facts.single_threaded =>
        {
            Some(NOT_FOR_ONLY.to_owned())
        }
        _ => None,
    }
}

/// The same for a thread that sleeps. No danger has to be asked for: one that speaks against ending the thread has spoken
/// against putting it to sleep.
pub(super) fn obstacle_asleep(action: Action, thread: Asleep) -> Option<String> {
    match action {
        Action::Deliver => None,
        Action::Exit if thread.main_thread => Some(NOT_FOR_MAIN.to_owned()),
        Action::Exit if thread.single_threaded => Some(NOT_FOR_ONLY.to_owned()),
        Action::Exit => None,
        _ => Some("not for a parked thread, which can only exit or be given its signal (deliver)".to_owned()),
    }
}
