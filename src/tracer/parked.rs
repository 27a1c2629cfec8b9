//! An operator's decision on a thread that is parked.
//!
//! It sleeps, and we trace it still: it is stopped, which its futex(2) does not notice, and either ends by exit(2) or is
//! brought in front of the signal that it was parked for. Then it is what it was when that was seen, and the signal takes its
//! way like any other. What cannot be done leaves it asleep.
//!
//! The signal and its context are known to the tracer that has parked the thread, in memory alone. A thread that an earlier
//! tracer has parked is told by its sleep, as nobody else sleeps so ([`park::check`]), and can only exit.

use std::fs;
use std::time::Instant;

use crate::capture::maps::Maps;
use crate::config::{Action, Ladder};
use crate::ipc::{FromTracer, NotSettled};
use crate::isolate::inject::{Failure, Obstacle};
use crate::isolate::sites::Sites;
use crate::isolate::{exit, park};
use crate::policy::{Asleep, Walk};
use crate::sys::memory::Memory;
use crate::sys::ptrace::{PtraceError, Stopped};
use crate::sys::regs::SystemCall;
use crate::sys::status::Status;
use crate::sys::{Pid, Tid, fail};
use crate::trace::{Fault, NotStopped};

use super::incident::Names;
use super::{Tracer, TracerError};

/// A thread that is parked, as far as can be told without stopping it.
pub(super) struct Sleeper {
    process: Pid,
    tid: Tid,
    status: Status,
    maps: Maps,
    sites: Sites,
}

/// What became of one action.
enum Tried {
    Done,
    Refused(String),
    Gone,
}

impl From<Obstacle> for Tried {
    fn from(why: Obstacle) -> Self {
        match why {
            Obstacle::Ptrace(PtraceError::Died(_)) => Self::Gone,
            why => Self::Refused(why.to_string()),
        }
    }
}

impl Sleeper {
    fn facts(&self) -> Asleep {
        Asleep {
            main_thread: self.tid == self.process.leader(),
            single_threaded: self.status.threads == 1,
        }
    }
}

impl Tracer {
    /// Does with a parked thread what somebody asks for, and says what came of it.
    pub(super) fn settle_parked(
        &mut self,
        sleeper: &Sleeper,
        actions: &Ladder,
        asker: &str,
    ) -> Result<Result<Action, NotSettled>, TracerError> {
        fail::point("tracer.settle.asked");
        let tid = sleeper.tid;
        let kept = self.isolated.sleeper(tid).and_then(|known| known.kept.as_ref());
        let mut walk = match kept {
            Some(kept) => kept.walk.ordered_asleep(sleeper.facts(), actions.clone(), asker),
            None => Walk::of_sleeper(sleeper.facts(), actions.clone(), asker),
        };
        loop {
            let action = walk.step();
            if walk.is_at_its_end() {
                return Ok(Err(NotSettled {
                    absent: false,
                    reason: format!("thread {tid} is parked as before: {}", walk.obstacles()),
                }));
            }
            let tried = match action {
                Action::Exit => self.end_sleeper(sleeper, &walk)?,
                _ => self.deliver_to_sleeper(sleeper, &walk)?,
            };
            match tried {
                Tried::Done => return Ok(Ok(action)),
                Tried::Refused(why) => walk.pass(format!("{action} is not possible: {why}")),
                Tried::Gone => {
                    let reason = format!("thread {tid} has ended");
                    return Ok(Err(NotSettled { absent: true, reason }));
                }
            }
        }
    }

    /// The thread with that id, if it is parked.
    pub(super) fn find_sleeper(&mut self, tid: Tid) -> Option<Sleeper> {
        let known = self.isolated.sleeper(tid).map(|known| known.thread.process);
        let process = known.or_else(|| self.engine.process_of(tid))?;
        let maps = Maps::parse(&fs::read(format!("/proc/{process}/task/{tid}/maps")).ok()?);
        let sites = self.sites.find(&Memory::of(tid), &maps)?;
        if known.is_none() {
            let call = SystemCall::parse(&fs::read(format!("/proc/{process}/task/{tid}/syscall")).ok()?)?;
            if !park::seems_asleep(&call, &sites) {
                return None;
            }
        }
        Some(Sleeper {
            process,
            tid,
            status: Status::read(tid).ok()?,
            maps,
            sites,
        })
    }

    /// Stops a thread that sleeps.
    fn stop_sleeper(&mut self, sleeper: &Sleeper) -> Result<Stopped, Tried> {
        let timeout = self.service.freeze_timeout.0;
        let thread = self.engine.stop(sleeper.tid, timeout).map_err(|why| match why {
            NotStopped::Gone => Tried::Gone,
            why => Tried::Refused(why.to_string()),
        })?;
        match park::check(&thread, &sleeper.sites, &sleeper.maps) {
            Ok(()) => Ok(thread),
            Err(why) => {
                self.engine.go_on(thread);
                Err(why.into())
            }
        }
    }

    fn end_sleeper(&mut self, sleeper: &Sleeper, walk: &Walk) -> Result<Tried, TracerError> {
        let thread = match self.stop_sleeper(sleeper) {
            Ok(thread) => thread,
            Err(tried) => return Ok(tried),
        };
        fail::point("tracer.parked.stopped");
        let prepared = exit::prepare(&thread, &sleeper.sites);
        fail::point("tracer.parked.prepared");
        self.engine.go_on(thread);
        if let Err(why) = prepared {
            return Ok(why.into());
        }
        let Sleeper { tid, status, .. } = sleeper;
        let decision = walk.clone().end();
        let known = self.isolated.sleeper(*tid).and_then(|known| known.kept.as_ref());
        let number = known.and_then(|kept| kept.number);
        self.isolated.note_exit(*tid);
        // The report may have been written long since.
        self.say(FromTracer::Warning(format!(
            "thread {tid} ({}), which was parked, ends by exit: {}",
            status.name, decision.reason
        )))?;
        self.told(number, decision, None)?;
        Ok(Tried::Done)
    }

    fn deliver_to_sleeper(&mut self, sleeper: &Sleeper, walk: &Walk) -> Result<Tried, TracerError> {
        let (process, tid) = (sleeper.process, sleeper.tid);
        let kept = self.isolated.sleeper(tid).and_then(|known| known.kept.as_ref());
        let Some(kept) = kept else {
            return Ok(Tried::Refused(
                "its signal is not known here: it was parked by an earlier tracer, or many others since"
                    .to_owned(),
            ));
        };
        let (before, since) = (kept.before.clone(), kept.since);
        let thread = match self.stop_sleeper(sleeper) {
            Ok(thread) => thread,
            Err(tried) => return Ok(tried),
        };
        fail::point("tracer.parked.stopped");
        let thread = match park::wake(thread, process, &before) {
            Ok(thread) => thread,
            Err(Failure {
                thread: Some(thread),
                reason,
            }) => {
                self.engine.go_on(thread);
                return Ok(Tried::Refused(reason.to_string()));
            }
            Err(Failure { thread: None, reason }) => {
                log::warn!("thread {tid} was not brought in front of its signal: {reason}");
                self.engine.let_go_of(process, Vec::new());
                return Ok(Tried::Gone);
            }
        };
        fail::point("tracer.parked.woken");
        self.isolated.forget_sleeper(tid);
        let fault = Fault {
            thread,
            process,
            signal: before.siginfo().signal(),
            siginfo: Some(*before.siginfo()),
            handled: None,
            seen: Instant::now(),
            status: sleeper.status.clone(),
        };
        let recorded = self.admit()?;
        let names = Names::of(&fault, fault.status.clone());
        let incident = recorded.then(|| self.describe(&fault, &names));
        let mut walk = walk.clone();
        let slept = since.elapsed().as_secs();
        walk.note(format!(
            "it was parked after the fault, and is given its signal {slept} s later"
        ));
        let decision = walk.end();
        let copied = self.conclude(fault, &decision, recorded)?;
        self.tell_settled(incident, process, decision, copied)?;
        Ok(Tried::Done)
    }
}
