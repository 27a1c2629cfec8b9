//! Threads that a seccomp filter ended alone (`SECCOMP_RET_KILL_THREAD`, seccomp(2)): no stop announces it, the process
//! goes on, and whoever waits for the thread's work waits for ever.
//!
//! Where the filter ends the whole process, its threads end one by one in the same way. So what became of the process is
//! looked at a moment later, and said once of each.

use std::time::{Duration, Instant};

use crate::ipc::FromTracer;
use crate::sys::Pid;
use crate::sys::status::Status;

use super::{Tracer, TracerError};

/// How long a process takes to end, as a rule.
const MOMENT: Duration = Duration::from_millis(200);
/// Processes that are remembered.
const MAX_PROCESSES: usize = 64;

/// The processes that lost a thread so.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Each with the time to look at it.
    suspects: Vec<(Pid, Instant)>,
    told: Vec<Pid>,
}

impl Refused {
    /// When to look at a process.
    pub(super) fn due(&self) -> Option<Instant> {
        self.suspects.iter().map(|(_, due)| *due).min()
    }

    /// That one has ended; another may have its id one day.
    pub(super) fn forget(&mut self, process: Pid) {
        self.suspects.retain(|(known, _)| *known != process);
        self.told.retain(|known| *known != process);
    }
}

impl Tracer {
    /// A thread of a process was killed by a filter.
    pub(super) fn refused(&mut self, process: Pid) {
        let refused = &mut self.refused;
        let is_suspect = refused.suspects.iter().any(|(known, _)| *known == process);
        let is_known = is_suspect || refused.told.contains(&process);
        if is_known || refused.suspects.len() + refused.told.len() >= MAX_PROCESSES {
            return;
        }
        refused.suspects.push((process, Instant::now() + MOMENT));
        self.set_alarm();
    }

    /// Looks whether the processes live on, when it is time.
    pub(super) fn look_after_refused(&mut self) -> Result<(), TracerError> {
        let now = Instant::now();
        let suspects = std::mem::take(&mut self.refused.suspects).into_iter();
        let (due, left): (Vec<_>, Vec<_>) = suspects.partition(|(_, due)| *due <= now);
        self.refused.suspects = left;
        for (process, _) in due {
            let Ok(status) = Status::read(process.leader()) else {
                continue;
            };
            if status.is_dead() || status.dumping {
                continue;
            }
            self.refused.told.push(process);
            self.say(FromTracer::Warning(format!(
                "a seccomp filter ended a thread of {} ({process}) and nothing but it (SECCOMP_RET_KILL_THREAD): the process \
                 goes on without; the kernel's log may name the system call",
                status.name
            )))?;
        }
        Ok(())
    }
}
