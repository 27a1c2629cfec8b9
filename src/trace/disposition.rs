//! Whether a signal would end the process (signal(7)).
//!
//! The kernel tells the dispositions only through `/proc`, at about 10 us. For signals that an instruction
//! raises, and SIGABRT, they are read at every stop: programs reset their handler and raise the signal again.
//! For all others an answer may be [`FRESH`] old, so that a storm of handled signals costs one reading in that
//! time; a process that changes its mind within it dies unexamined, and leaves an exit record.

use std::time::{Duration, Instant};

use crate::sys::SigNo;
use crate::sys::process::bit;
use crate::sys::signal::DefaultAction;

use super::status::Status;

/// How old the known dispositions may be for a signal that no instruction raises.
pub const FRESH: Duration = Duration::from_millis(10);

/// The dispositions of one process, as last read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dispositions {
    caught: u64,
    ignored: u64,
    namespace_init: bool,
    read: Instant,
}

/// What a signal would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The program's own handler runs.
    Handled,
    /// Nothing: it is ignored, or does nothing by default.
    Ignored,
    /// The process stops. In an orphaned process group it does not (setpgid(2)), and yet its system calls are
    /// interrupted, traced or not.
    Stops,
    /// The process ends.
    Fatal,
}

impl Dispositions {
    /// Takes what a status file says.
    pub fn new(status: &Status, read: Instant) -> Self {
        let Status {
            caught,
            ignored,
            namespace_init,
            ..
        } = *status;
        Self {
            caught,
            ignored,
            namespace_init,
            read,
        }
    }

    /// Whether these may still be used for that signal.
    pub fn serve(&self, signal: SigNo, now: Instant) -> bool {
        !signal.is_hardware() && signal != SigNo::ABRT && now.duration_since(self.read) < FRESH
    }

    /// What the signal would do; `forced` where the kernel raised it for an instruction, which ends even the
    /// init of a pid namespace.
    pub fn fate(&self, signal: SigNo, forced: bool) -> Fate {
        if self.caught & bit(signal) != 0 {
            return Fate::Handled;
        }
        if self.ignored & bit(signal) != 0 || (self.namespace_init && !forced) {
            return Fate::Ignored;
        }
        match signal.default_action() {
            DefaultAction::Terminate | DefaultAction::Core => Fate::Fatal,
            DefaultAction::Stop => Fate::Stops,
            DefaultAction::Ignore | DefaultAction::Continue => Fate::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(caught: u64, ignored: u64, namespace_init: bool) -> Dispositions {
        let status = Status {
            caught,
            ignored,
            namespace_init,
            ..Status::default()
        };
        Dispositions::new(&status, Instant::now())
    }

    #[test]
    fn a_handler_wins_then_ignoring_then_the_default() {
        let segv = bit(SigNo::SEGV);
        assert_eq!(with(segv, 0, false).fate(SigNo::SEGV, true), Fate::Handled);
        assert_eq!(with(0, segv, false).fate(SigNo::SEGV, false), Fate::Ignored);
        assert_eq!(with(0, 0, false).fate(SigNo::SEGV, true), Fate::Fatal);
        assert_eq!(with(0, 0, false).fate(SigNo::CHLD, false), Fate::Ignored);
        assert_eq!(with(0, 0, false).fate(SigNo::CONT, false), Fate::Ignored);
        assert_eq!(with(0, 0, false).fate(SigNo(40), false), Fate::Fatal);
        assert_eq!(with(0, 0, false).fate(SigNo::TSTP, false), Fate::Stops);
        let stop = bit(SigNo::TSTP);
        assert_eq!(with(0, stop, false).fate(SigNo::TSTP, false), Fate::Ignored);
        assert_eq!(with(stop, 0, false).fate(SigNo::TSTP, false), Fate::Handled);
    }

    #[test]
    fn a_namespace_init_dies_only_of_its_own_faults() {
        assert_eq!(with(0, 0, true).fate(SigNo::TERM, false), Fate::Ignored);
        assert_eq!(with(0, 0, true).fate(SigNo::SEGV, true), Fate::Fatal);
    }

    #[test]
    fn faults_and_aborts_are_never_judged_by_old_news() {
        let known = with(0, 0, false);
        let now = known.read;
        assert!(known.serve(SigNo::TERM, now));
        assert!(!known.serve(SigNo::SEGV, now) && !known.serve(SigNo::ABRT, now));
        assert!(!known.serve(SigNo::TERM, now + FRESH));
    }
}
