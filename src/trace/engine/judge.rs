//! What becomes of a signal that a thread is about to take.
//!
//! One that will not end the process takes the shortest way: a look, an answer, no reading of /proc beyond one in
//! [`crate::trace::disposition::FRESH`]. Two repairs belong to that way:
//!
//! * A signal that the program ignores stops a traced thread, and interrupts system calls such as
//!   `epoll_wait(2)` that untraced would not have noticed; such a call is made to restart ([`super::timeouts`]). SIGCONT does the same to
//!   every thread of a traced process (kernel/signal.c, `prepare_signal`).
//! * A hardware fault that the program handles is remembered, since some handlers reset themselves and raise the
//!   signal again: the report is then about the fault that started it.
//!
//! One interruption stays: a signal to the whole process wakes one thread, and if another one that just comes out of a
//! stop takes it first, the woken one returns `EINTR` without a stop of its own.

use std::time::Instant;

use crate::sys::ptrace::Stopped;
use crate::sys::signal::{SI_USER, SigInfo};
use crate::sys::status::Status;
use crate::sys::{Pid, SigNo, Tid};
use crate::trace::disposition::{Dispositions, Fate};

use super::{Engine, Fault, HandledFault, Turn};

impl Engine {
    pub(super) fn judge(&mut self, thread: Stopped, signal: SigNo) -> Option<Turn> {
        let tid = thread.tid();
        let seen = Instant::now();
        let siginfo = signal.is_hardware().then(|| thread.siginfo().ok()).flatten();
        let forced = siginfo.is_some_and(|info| !info.is_sent());
        let Some((process, fate, status)) = self.fate(tid, signal, forced, seen) else {
            // Its /proc entry is gone: it is dying, and its stop ends by itself.
            self.machine.resumed(tid);
            self.resume(thread, Some(signal));
            return None;
        };
        match fate {
            Fate::Fatal if self.is_leaving => {}
            Fate::Fatal => {
                // That a process ends is never old news.
                let Some(status) = status else {
                    self.machine.resumed(tid);
                    self.resume(thread, Some(signal));
                    return None;
                };
                let handled = self
                    .processes
                    .get_mut(&process)
                    .and_then(|known| known.handled.take());
                let siginfo = siginfo.or_else(|| thread.siginfo().ok());
                return Some(Turn::Fault(Box::new(Fault {
                    thread,
                    process,
                    signal,
                    siginfo,
                    handled,
                    seen,
                    status,
                })));
            }
            Fate::Handled => {
                if let Some(siginfo) = siginfo.filter(|_| forced) {
                    self.remember(process, &thread, signal, siginfo, seen);
                }
            }
            Fate::Stops => {}
            Fate::Ignored if self.machine.is_continued(tid) => {}
            Fate::Ignored => self.timeouts.repair(&thread, seen),
        }
        let sender = self.sender_to_tell(process, &thread, signal);
        self.machine.resumed(tid);
        self.resume(thread, Some(signal));
        sender.map(|sender| Turn::Took(signal, sender))
    }

    /// Who has sent that signal, where the caller wants to know.
    fn sender_to_tell(&self, process: Pid, thread: &Stopped, signal: SigNo) -> Option<Pid> {
        if self.followed != Some(process) || !signal.is_sent_to_groups() {
            return None;
        }
        let info = thread.siginfo().ok().filter(|info| info.code() == SI_USER)?;
        let (sender, _) = info.sender()?;
        (sender != process).then_some(sender)
    }

    /// What the signal would do to the process of `tid`, and the status that says so where it had to be read. None: the
    /// process is gone.
    fn fate(
        &mut self,
        tid: Tid,
        signal: SigNo,
        forced: bool,
        now: Instant,
    ) -> Option<(Pid, Fate, Option<Status>)> {
        let known = self.machine.thread(tid).and_then(|thread| thread.process);
        let old = known.and_then(|pid| {
            let dispositions = self.processes.get(&pid)?.dispositions?;
            Some((pid, dispositions.old_news(signal, now)?, None))
        });
        if old.is_some() {
            return old;
        }
        let status = Status::read(tid).ok()?;
        let process = status.process();
        self.machine.belongs(tid, process);
        let known = self.register(process)?;
        let mut dispositions = Dispositions::new(&status, now).after(known.dispositions);
        let fate = dispositions.fate(signal, forced);
        if fate == Fate::Handled {
            dispositions.hand(signal);
        }
        known.dispositions = Some(dispositions);
        Some((process, fate, Some(status)))
    }

    fn remember(&mut self, process: Pid, thread: &Stopped, signal: SigNo, siginfo: SigInfo, seen: Instant) {
        if let (Some(known), Ok(registers)) = (self.processes.get_mut(&process), thread.registers()) {
            known.handled = Some(HandledFault {
                tid: thread.tid(),
                signal,
                siginfo,
                registers,
                seen,
            });
        }
    }
}
