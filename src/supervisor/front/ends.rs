//! Ends that no tracer has told of: it died in the same moment, or was given up before.
//!
//! A tracer tells how each process that it was asked for ends, or that there will be no record. What is missing when
//! it has been let go is recorded here from the exit status alone. Under `run` that is the front's to collect; of an
//! attached process the kernel tells it where it can.

use std::collections::HashMap;
use std::time::Instant;

use crate::capture::fault::wall_clock;
use crate::ipc::ProcessEnd;
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, pidfd};

use super::Front;

/// What the front knows by itself of its processes' ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// How they ended, in so far as that could be seen; without those that a tracer has told of.
    untold: HashMap<Pid, Option<ExitStatus>>,
    told: Vec<Pid>,
}

impl Ends {
    /// A process has ended.
    pub(super) fn seen(&mut self, process: Pid, status: Option<ExitStatus>) {
        if !self.told.contains(&process) {
            self.untold.insert(process, status);
        }
    }

    /// A tracer has told how that process ends; `expected` if it has not been seen to end.
    pub(super) fn told(&mut self, process: Pid, expected: bool) {
        self.untold.remove(&process);
        if expected {
            self.told.push(process);
        }
    }
}

impl Front {
    /// A tracer has told how that process ends.
    pub(super) fn told(&mut self, process: Pid) {
        let is_root = self.followed.watch.roots().iter().any(|root| root.pid == process);
        self.ends.told(process, is_root);
    }

    /// Forgets attached processes that have ended.
    pub(super) fn notice_ends(&mut self) {
        if self.program.is_some() || self.followed.is_open() {
            return;
        }
        let ends = &mut self.ends;
        self.followed.watch.retain(|root| match &root.pidfd {
            Some(pidfd) if pidfd::has_ended(pidfd) => {
                ends.seen(root.pid, pidfd::exit_status(pidfd, root.pid));
                false
            }
            _ => true,
        });
        self.end_without_roots();
    }

    /// Records the ends that nobody will tell of any more.
    pub(super) fn record_untold_ends(&mut self) {
        for (process, status) in std::mem::take(&mut self.ends.untold) {
            let line = match status {
                Some(ExitStatus::Exited(_)) => None,
                Some(status @ ExitStatus::Killed { .. }) => {
                    let end = ProcessEnd {
                        process,
                        comm: self.followed.watch.service().name.clone(),
                        time_us: wall_clock(Instant::now()),
                        status,
                        out_of_memory: None,
                    };
                    self.recording.ended(&self.followed.watch, end, Vec::new())
                }
                None => Some(format!(
                    "{process} ended while no tracer watched it; how, this kernel does not tell"
                )),
            };
            line.iter().for_each(|line| self.complain(line));
        }
    }
}
