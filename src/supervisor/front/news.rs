//! What the watch says, and what follows for the program and for the processes that were attached.

use crate::config::Action;
use crate::report::words::count;
use crate::supervisor::program::Program;
use crate::supervisor::watch::{News, Refusal};
use crate::sys::fail;

use super::error::{FrontError, system};
use super::{Front, Outcome};

impl Front {
    pub(super) fn news(&mut self, news: News) -> Result<(), FrontError> {
        if news.is_of_tracers_end() {
            self.abandon_orders();
        }
        let line = match news {
            News::Attached {
                processes, threads, ..
            } => return self.attached(processes, threads),
            News::Refused(refusal) => return self.refused(refusal),
            News::Incident(incident, descriptors) => {
                fail::point("front.incident.received");
                if incident.verdict.taken == Action::Deliver {
                    self.told(incident.process);
                }
                self.say_counted(incident.counted);
                self.recording
                    .incident(&self.followed.watch, *incident, descriptors)
            }
            News::Captured(captured, descriptors) => {
                self.capture_taken(captured.left_out > 0);
                self.recording
                    .captured(&self.followed.watch, *captured, descriptors)
            }
            News::Modules(number, descriptors) => {
                self.recording
                    .modules(self.followed.watch.service(), number, descriptors);
                None
            }
            News::Settled(settlement) => {
                self.recording.settled(self.followed.watch.service(), settlement);
                None
            }
            News::Ended(end, descriptors) => {
                self.told(end.process);
                self.recording.ended(&self.followed.watch, *end, descriptors)
            }
            News::Unrecorded(process) => {
                self.told(process);
                None
            }
            News::Counted(counted) => {
                self.say_counted(counted);
                None
            }
            News::Census => None,
            News::Isolated(threads) => {
                self.isolated(threads);
                None
            }
            News::SettleAnswer(tid, outcome) => {
                self.settle_answered(tid, outcome);
                None
            }
            News::Took { signal, sender } => {
                self.took(signal, sender);
                None
            }
            News::Warning(text) => {
                self.say(&text);
                None
            }
            News::LettingGo(reason) => {
                if self.program.is_none() && self.outcome.is_none() {
                    self.outcome = Some(Outcome::Released);
                }
                Some(reason)
            }
            News::Log(line) => Some(line),
            News::Silent => Some("the tracer did not answer and was ended".to_owned()),
            News::Replaced => {
                self.recording.tracer_gone(self.followed.watch.service());
                Some("the tracer died; the service runs on, and another tracer takes it up again".to_owned())
            }
            News::GivenUp => {
                self.recording.tracer_gone(self.followed.watch.service());
                if self.program.as_ref().is_none_or(Program::is_waiting) {
                    return Err(FrontError::TracersDie);
                }
                Some(FrontError::TracersDie.to_string())
            }
            News::LetGo => {
                self.recording.tracer_gone(self.followed.watch.service());
                None
            }
        };
        line.iter().for_each(|line| self.complain(line));
        Ok(())
    }

    fn say_counted(&self, counted: u64) {
        if counted > 0 {
            self.say(&format!(
                "{counted} more faults were counted, past the limit of reports (max_per_minute)"
            ));
        }
    }

    fn attached(&mut self, processes: usize, threads: usize) -> Result<(), FrontError> {
        if self.ask_for_capture()? {
            return Ok(());
        }
        match &mut self.program {
            Some(program) if program.is_waiting() => program.open_gate().map_err(system("start the program")),
            None if self.followed.watch.roots().iter().all(|root| root.attached) => {
                self.say(&format!(
                    "attached: {}, {}",
                    count(processes, "process"),
                    count(threads, "thread")
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A process that cannot be taken up ends the watch, unless it was watched before: it may have changed its
    /// user meanwhile.
    fn refused(&mut self, refusal: Refusal) -> Result<(), FrontError> {
        if self.followed.is_open() {
            if !self.followed.watch.roots().iter().any(|root| root.attached) {
                return Err(refusal.into());
            }
            self.complain(&format!("{refusal}; it runs on unsupervised"));
            return Ok(());
        }
        let root = self
            .followed
            .watch
            .roots()
            .iter()
            .find(|root| root.pid == refusal.process);
        match root {
            None => return Ok(()),
            Some(root) if !root.attached => return Err(refusal.into()),
            // It has ended, which is noticed by other means.
            Some(_) if refusal.absent => return Ok(()),
            Some(_) => {}
        }
        self.complain(&format!("{refusal}; it runs on unsupervised"));
        if self.program.is_none() {
            self.followed.watch.retain(|root| root.pid != refusal.process);
            self.end_without_roots();
        }
        Ok(())
    }
}
