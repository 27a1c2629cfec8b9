//! The program as a job: what signals to the front mean for it, how its stops are followed, how its end is learned.

use crate::supervisor::send;
use crate::supervisor::signals::Meaning;
use crate::sys::signal::SigInfo;
use crate::sys::wait::{self, ChildChange};
use crate::sys::{SigNo, pidfd};

use super::{Front, Outcome};

impl Front {
    pub(super) fn signal(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Child => self.reap_program(),
            Meaning::Sent(info) if self.program.is_some() => self.pass_on(&info),
            Meaning::Terminal(SigNo::TSTP | SigNo::TTIN | SigNo::TTOU) if self.program.is_some() => {}
            Meaning::Terminal(SigNo::TSTP | SigNo::TTIN | SigNo::TTOU) => stop_ourselves(),
            Meaning::Terminal(_) if self.program.is_some() => {}
            Meaning::Sent(_) | Meaning::Terminal(_) => self.let_go(Outcome::Released),
        }
    }

    /// Sends the program what somebody sent to us in its place, in the name of that somebody.
    fn pass_on(&mut self, info: &SigInfo) {
        if let Some(program) = self.program.as_ref().filter(|_| self.program_end.is_none()) {
            // A program that is gone needs no signal.
            let _ = pidfd::open(program.pid).and_then(|pidfd| pidfd::send_siginfo(&pidfd, &info.queued()));
        }
    }

    fn reap_program(&mut self) {
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
                Some(ChildChange::Stopped(SigNo::TSTP | SigNo::TTIN | SigNo::TTOU)) => {
                    // The shell that started us must see the job stopped; when it continues us, the program goes on.
                    stop_ourselves();
                    // A shell continues the whole job, and the program may be stopped again by now.
                    if !wait::child_has_changed(pid) {
                        send(pid, SigNo::CONT);
                    }
                }
                Some(ChildChange::Stopped(_)) => {}
                None => return,
            }
        }
    }
}

/// Stops this process until somebody continues it.
fn stop_ourselves() {
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
}
