//! Ends and changes that no fault announced: SIGKILL, seccomp kills, exit statuses, exec.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::capture::ending;
use crate::capture::fault::wall_clock;
use crate::config::Exits;
use crate::ipc::{FromTracer, ProcessEnd, seal_capture};
use crate::sys::deadline::Deadline;
use crate::sys::status::Status;
use crate::sys::wait::ExitStatus;
use crate::sys::{Pid, SigNo};
use crate::trace::engine::Ending;

use super::{Tracer, TracerError};

/// Set-user-ID and set-group-ID bits of a file's mode (inode(7)).
const SET_ID: u32 = 0o6000;
/// Bit of CAP_SYS_PTRACE in a capability set (capabilities(7)).
const CAP_SYS_PTRACE: u64 = 1 << 19;
/// How long a look at a program's file may take.
const LOOK: Duration = Duration::from_secs(1);

impl Tracer {
    /// Reaps a dead process; one that ended in a way worth recording is told of with what /proc still says.
    pub(super) fn departure(&mut self, ending: Ending) -> Result<(), TracerError> {
        let process = ending.process;
        let remarkable = is_remarkable(ending.status, self.service.report.exits);
        let by_kill = matches!(ending.status, ExitStatus::Killed { signal, .. } if signal == SigNo::KILL);
        let out_of_memory = by_kill.then(|| self.memory.evidence()).flatten();
        let remains = remarkable.then(|| {
            let status = Status::read(process.leader()).unwrap_or_default();
            let end = ProcessEnd {
                process,
                comm: status.name,
                time_us: wall_clock(Instant::now()),
                status: ending.status,
                out_of_memory,
            };
            (end, ending::copy(process, ending.start))
        });
        self.engine.reap(ending);
        self.goes_on(process);
        match remains {
            Some((end, capture)) if self.admit()? => {
                let descriptors = seal_capture(&capture).into_iter().collect();
                self.say_with(FromTracer::Ended(Box::new(end)), descriptors)
            }
            _ => self.leave_unrecorded(process),
        }
    }

    /// An unprivileged tracer costs a set-user-ID program its privileges (execve(2)): whoever wonders should read it.
    pub(super) fn warn_of_lost_privileges(&mut self, process: Pid) -> Result<(), TracerError> {
        if may_trace_all() || !is_set_id(process) {
            return Ok(());
        }
        let exe = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
        self.say(FromTracer::Warning(format!(
            "{} (pid {process}) runs without its set-user-ID privileges, because sickbay lacks CAP_SYS_PTRACE; \
             run sickbay as root to keep them",
            exe.display()
        )))
    }
}

/// The program may lie in a file system that its user serves, and answers when that user likes.
fn is_set_id(process: Pid) -> bool {
    let _deadline = Deadline::after(LOOK);
    fs::metadata(format!("/proc/{process}/exe")).is_ok_and(|meta| meta.mode() & SET_ID != 0)
}

fn is_remarkable(status: ExitStatus, wish: Exits) -> bool {
    match (wish, status) {
        (Exits::None, _) | (_, ExitStatus::Exited(0)) => false,
        (Exits::Signals, ExitStatus::Exited(_)) => false,
        (Exits::Signals | Exits::Failures, _) => true,
    }
}

fn may_trace_all() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & CAP_SYS_PTRACE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remarkable_is_configured() {
        let killed = ExitStatus::Killed {
            signal: SigNo::KILL,
            core: false,
        };
        for (wish, exited_1, by_signal) in [
            (Exits::None, false, false),
            (Exits::Signals, false, true),
            (Exits::Failures, true, true),
        ] {
            assert!(!is_remarkable(ExitStatus::Exited(0), wish));
            assert_eq!(is_remarkable(ExitStatus::Exited(1), wish), exited_1);
            assert_eq!(is_remarkable(killed, wish), by_signal);
        }
    }
}
