//! Whether a signal would end the process (signal(7)).
//!
//! The kernel tells the dispositions only through `/proc`, at about 10 us. For signals that an instruction
//! raises, and SIGABRT, they are read at every stop: programs reset their handler and raise the signal again.
//! For all others an answer may be [`FRESH`] old, so that a storm of handled signals costs one reading in that
//! time. It says what has no effect, or which handler runs that is known to have stayed in its place once; that a process
//! ends is never said by old news. One that takes a handler away which has stayed dies unexamined within that time, and
//! leaves an exit record.

use std::time::{Duration, Instant};

use crate::sys::SigNo;
use crate::sys::process::bit;
use crate::sys::signal::DefaultAction;

use crate::sys::status::Status;

/// How old the known dispositions may be for a signal that no instruction raises.
pub const FRESH: Duration = Duration::from_millis(10);

/// The dispositions of one process, as last read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dispositions {
    caught: u64,
    ignored: u64,
    namespace_init: bool,
    read: Instant,
    /// Signals that went to a handler, and those whose handler was still there when they were read afterwards.
    handed: u64,
    stayed: u64,
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
        let Status { caught, ignored, .. } = *status;
        Self {
            caught,
            ignored,
            namespace_init: status.is_namespace_init(),
            read,
            handed: 0,
            stayed: 0,
        }
    }

    /// Keeps what was learned by the former ones of the same program.
    pub fn after(self, former: Option<Self>) -> Self {
        let handed = former.map_or(0, |former| former.handed) & self.caught;
        Self {
            handed,
            stayed: handed,
            ..self
        }
    }

    /// Takes note that a signal goes to its handler.
    pub fn hand(&mut self, signal: SigNo) {
        self.handed |= bit(signal);
    }

    /// What the signal would do, if these may still be used for it.
    pub fn old_news(&self, signal: SigNo, now: Instant) -> Option<Fate> {
        let is_raised = signal.is_hardware() || matches!(signal, SigNo::ABRT | SigNo::SYS);
        if is_raised || now.duration_since(self.read) >= FRESH {
            return None;
        }
        let fate = self.fate(signal, false);
        let is_certain = match fate {
            Fate::Handled => self.stayed & bit(signal) != 0,
            Fate::Ignored | Fate::Stops => true,
            Fate::Fatal => false,
        };
        is_certain.then_some(fate)
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
    use crate::sys::Tid;

    fn with(caught: u64, ignored: u64, namespace_init: bool) -> Dispositions {
        let status = Status {
            caught,
            ignored,
            inner_tid: namespace_init.then_some(Tid(1)),
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
        let all = with(u64::MAX, 0, false);
        let mut handed = all;
        for signal in [SigNo::SEGV, SigNo::ABRT, SigNo::SYS, SigNo::TERM] {
            handed.hand(signal);
        }
        let known = all.after(Some(handed));
        let now = known.read;
        assert_eq!(known.old_news(SigNo::TERM, now), Some(Fate::Handled));
        assert_eq!(known.old_news(SigNo::TERM, now + FRESH), None);
        for raised in [SigNo::SEGV, SigNo::ABRT, SigNo::SYS] {
            assert_eq!(known.old_news(raised, now), None);
        }
    }

    #[test]
    fn old_news_kill_nobody_and_a_handler_proves_itself_first() {
        let none = with(0, 0, false);
        assert_eq!(none.old_news(SigNo::TERM, none.read), None);
        assert_eq!(none.old_news(SigNo::CHLD, none.read), Some(Fate::Ignored));

        let mut first = with(bit(SigNo::TERM), 0, false);
        assert_eq!(first.old_news(SigNo::TERM, first.read), None);
        first.hand(SigNo::TERM);
        assert_eq!(first.old_news(SigNo::TERM, first.read), None);
        let second = with(bit(SigNo::TERM), 0, false).after(Some(first));
        assert_eq!(second.old_news(SigNo::TERM, second.read), Some(Fate::Handled));
        let without = none.after(Some(second));
        let again = with(bit(SigNo::TERM), 0, false).after(Some(without));
        assert_eq!(again.old_news(SigNo::TERM, again.read), None);
    }
}
