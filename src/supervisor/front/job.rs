//! The program as a job: what signals to the front mean for it, how its stops are followed, how its end is learned.
//!
//! The front stops when the program does, and by the same signal, so that whoever started it sees what it would see of
//! the program. Continued, it continues the program, as far as that was not continued with it. Where the program alone
//! goes on or ends, the tracer continues the front: one that stays stopped could do nothing for it.

use std::time::Instant;

use nix::errno::Errno;

use crate::supervisor::signals::Meaning;
use crate::sys::signal::{DefaultAction, SigInfo};
use crate::sys::wait::{self, ChildChange};
use crate::sys::{Pid, SigNo, pidfd, process};

use super::{Front, Outcome};

/// Whether the program runs, as far as its parent was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    #[default]
    Running,
    Stopped,
    /// It was stopped, and the front has passed on a signal to continue it.
    Continuing,
}

impl Front {
    pub(super) fn signal(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Child => self.reap_program(),
            Meaning::Sent(info) if self.program.is_some() => self.sent(info),
            Meaning::Terminal(_) if self.program.is_some() => {}
            Meaning::Sent(info) => self.sent_without_program(info.signal()),
            Meaning::Terminal(signal) => self.sent_without_program(signal),
        }
    }

    /// Takes realtime signals, as many as can wait to be passed on.
    pub(super) fn take_realtime_signals(&mut self) {
        while self.passing.has_room() {
            match self.signals.next_realtime() {
                Some(info) => self.signal(Meaning::Sent(info)),
                None => return,
            }
        }
    }

    /// Passes on what is due, in the name of those who sent it.
    pub(super) fn pass_on(&mut self) {
        let now = Instant::now();
        while let Some(info) = self.passing.next(now) {
            let program = self.program.as_ref().filter(|_| self.program_end.is_none());
            let Some(program) = program.map(|program| program.pid) else {
                continue;
            };
            if info.signal() == SigNo::CONT && self.state == State::Stopped {
                self.state = State::Continuing;
            }
            let sent = pidfd::open(program).and_then(|pidfd| pidfd::send_siginfo(&pidfd, &info.queued()));
            if sent.is_err_and(|error| error.raw_os_error() == Some(Errno::EAGAIN as i32)) {
                return self.passing.put_back(info, now);
            }
        }
    }

    fn sent(&mut self, info: SigInfo) {
        let by_tracer = info
            .sender()
            .is_some_and(|(sender, _)| self.followed.watch.is_traced_by(sender));
        // The tracer continues a front whose program goes on: that is no message to the program.
        if !(by_tracer && info.signal() == SigNo::CONT) {
            self.passing.sent(info, Instant::now());
        }
    }

    /// What is said to the watch itself.
    fn sent_without_program(&mut self, signal: SigNo) {
        match signal.default_action() {
            DefaultAction::Stop => process::stop_by(signal),
            DefaultAction::Terminate | DefaultAction::Core => self.let_go(Outcome::Released),
            DefaultAction::Ignore | DefaultAction::Continue => {}
        }
    }

    pub(super) fn reap_program(&mut self) {
        let Some(pid) = self.program.as_ref().map(|program| program.pid) else {
            return;
        };
        while self.program_end.is_none() {
            match wait::child_change(pid) {
                Some(ChildChange::Ended(status)) => {
                    self.program_end = Some(status);
                    self.ends.seen(pid, Some(status));
                    self.let_go(Outcome::Program(status));
                }
                Some(ChildChange::Stopped(signal)) => {
                    // Between two stops it was continued, whether that was seen or not; that ends the last one, not this.
                    self.continued();
                    self.passing.forget(SigNo::CONT);
                    self.state = State::Stopped;
                    self.stop_by(signal);
                }
                Some(ChildChange::Continued) => self.continued(),
                None => return,
            }
        }
    }

    /// The tracer says that the program takes a signal.
    pub(super) fn took(&mut self, signal: SigNo, sender: Pid) {
        // That a stopped program goes on is told to its parent; what the tracer says then may be older than the stop.
        if signal != SigNo::CONT || self.state != State::Stopped {
            self.passing.taken(signal, Some(sender), Instant::now());
        }
    }

    fn continued(&mut self) {
        if self.state == State::Stopped {
            self.passing.taken(SigNo::CONT, None, Instant::now());
        }
        self.state = State::Running;
    }

    /// Stops as the program has, until somebody continues us.
    fn stop_by(&mut self, signal: SigNo) {
        self.followed.watch.stopping(true);
        process::stop_by(signal);
        self.followed.watch.stopping(false);
    }
}
