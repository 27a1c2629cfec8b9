//! An operator's decision on a thread that is held; on one that is parked, [`super::parked`].
//!
//! It is made as the first one was: from a copy of the thread as it stands, with what forbids an action still forbidding
//! it, but for the limits of how much may be done, which bind only what nobody watches. What cannot be done leaves the
//! thread as it was, in its probation.

use crate::config::{Action, Ladder};
use crate::ipc::{FromTracer, NotSettled};
use crate::sys::deadline::Deadline;
use crate::sys::status::Status;
use crate::sys::{Tid, fail};

use super::decision::Looked;
use super::hold::Held;
use super::incident::Names;
use super::throwing::Attempt;
use super::{HOLD, Tracer, TracerError};

impl Tracer {
    /// Does with a held or parked thread what somebody asks for, and says what came of it.
    pub(super) fn settle_on_request(
        &mut self,
        tid: Tid,
        actions: Ladder,
        asker: &str,
    ) -> Result<(), TracerError> {
        let deadline = Deadline::after(HOLD);
        let held = self.held.iter().position(|held| held.tid() == tid);
        let outcome = match held.map(|index| self.held.remove(index)) {
            None => match self.find_sleeper(tid) {
                Some(sleeper) => self.settle_parked(&sleeper, &actions, asker)?,
                None => Err(self.not_held(tid)),
            },
            Some(held) if held.is_dead() => {
                self.note_death(held)?;
                Err(gone(tid))
            }
            Some(held) => self.order(held, actions, asker)?,
        };
        drop(deadline);
        self.set_alarm();
        self.say(FromTracer::SettleAnswer { tid, outcome })
    }

    fn order(
        &mut self,
        mut held: Held,
        actions: Ladder,
        asker: &str,
    ) -> Result<Result<Action, NotSettled>, TracerError> {
        fail::point("tracer.settle.asked");
        let tid = held.tid();
        let status = match Status::read(tid) {
            Ok(status) => status,
            Err(error) => {
                self.held.push(held);
                let reason = format!("thread {tid} is held as before: its status cannot be read: {error}");
                return Ok(Err(NotSettled {
                    absent: false,
                    reason,
                }));
            }
        };
        let names = Names::of(held.fault(), status);
        let mut looked = self.look_at(held.fault(), &names, false);
        let walk = held
            .walk()
            .ordered(&looked.facts(held.fault(), &names), actions, asker);
        let before = held.decide_anew(walk);
        let planned = held.action();
        held.note(format!(
            "{asker} decided {} ms after the fault",
            held.since_fault().as_millis()
        ));
        let mut action = held.choose();
        loop {
            if held.walk().is_at_its_end() {
                let reason = format!("thread {tid} is held as before: {}", held.walk().obstacles());
                held.restore(before, planned);
                self.held.push(held);
                return Ok(Err(NotSettled {
                    absent: false,
                    reason,
                }));
            }
            if action == Action::Hold {
                // More time, and then what was planned.
                held.restore(before, planned);
                held.note(format!("{asker} prolonged its probation"));
                held.prolong(self.service.isolation.probation.0);
                self.held.push(held);
                return Ok(Ok(action));
            }
            match self.try_ordered(held, action, &names, &mut looked)? {
                Tried::Done => return Ok(Ok(action)),
                Tried::Gone => return Ok(Err(gone(tid))),
                Tried::Refused(as_before, why) => {
                    held = *as_before;
                    action = held.pass(&format!("{action} is not possible: {why}"));
                }
            }
        }
    }

    fn try_ordered(
        &mut self,
        mut held: Held,
        action: Action,
        names: &Names,
        looked: &mut Looked,
    ) -> Result<Tried, TracerError> {
        let (number, process) = (held.number(), held.process());
        match action {
            Action::Deliver | Action::Suppress | Action::Hold => self.deliver_held(held)?,
            Action::Exit | Action::Park | Action::Drain => {
                held.find_sites(&mut self.sites);
                if let Err(why) = held.prepare() {
                    return Ok(Tried::Refused(Box::new(held), why.to_string()));
                }
                self.send_away(held)?;
            }
            Action::Throw | Action::Unwind | Action::Rescue | Action::Skip => {
                match self.attempt(held, action, names, looked) {
                    Attempt::Done(held, ()) => {
                        // It was counted when it was held; one that unwinds has been counted once more.
                        self.note_given_back(&held);
                        let (fault, decision) = held.end();
                        self.engine.redirect(fault);
                        self.told(number, decision, None)?;
                    }
                    Attempt::Refused(as_before, why) => {
                        return Ok(Tried::Refused(Box::new(as_before), why));
                    }
                    Attempt::Gone(decision) => {
                        self.engine.let_go_of(process, Vec::new());
                        self.told(number, decision, None)?;
                        return Ok(Tried::Gone);
                    }
                }
            }
        }
        Ok(Tried::Done)
    }

    /// Why there is nothing to decide about a thread.
    fn not_held(&self, tid: Tid) -> NotSettled {
        let reason = if self.engine.is_attached(tid) {
            format!(
                "thread {tid} is neither held nor parked: it has no fault that waits for a decision; \
                 'sickbay threads' shows which have"
            )
        } else {
            format!("no thread {tid} is supervised here; 'sickbay threads' shows which are")
        };
        NotSettled { absent: true, reason }
    }
}

enum Tried {
    Done,
    Refused(Box<Held>, String),
    Gone,
}

fn gone(tid: Tid) -> NotSettled {
    NotSettled {
        absent: true,
        reason: format!("thread {tid} has ended with its process"),
    }
}
