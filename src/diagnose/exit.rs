//! Ends that no stop announced: SIGKILL, out of memory, seccomp's kill, a plain exit (tracing: these are forced
//! by the kernel and never pass a tracer).

use serde::{Deserialize, Serialize};

use super::{Cause, Diagnosis, Finding};
use crate::sys::SigNo;
use crate::sys::signal::RefusedCall;

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit status, if it exited.
    pub status: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<SigNo>,
    /// Whether the kernel dumped core.
    pub core_dumped: bool,
    /// What says that memory ran out: "oom_kill in memory.events of /system.slice/api.service rose by 1".
    pub out_of_memory: Option<String>,
    /// The system call that a seccomp filter killed it for.
    pub refused: Option<RefusedCall>,
}

/// Explains how a process ended.
pub fn diagnose_end(ended: &Ended) -> Diagnosis {
    let core = if ended.core_dumped { ", core dumped" } else { "" };
    let found = match (ended.signal, &ended.out_of_memory, ended.status) {
        (Some(signal), Some(evidence), _) => Finding::new(
            Cause::OutOfMemory,
            format!("killed by {signal} as memory ran out: {evidence}"),
        ),
        (Some(SigNo::SYS), None, _) => {
            let call = ended.refused.map(|call| call.to_string());
            let call = call.as_deref().unwrap_or("a system call that its filter forbids");
            Finding::new(
                Cause::BlockedSystemCall,
                format!("killed by seccomp for {call}{core}"),
            )
        }
        (Some(signal), None, _) => Finding::new(Cause::Killed, format!("killed by {signal}{core}")),
        (None, _, Some(0)) => Finding::new(Cause::Exited, "exited with status 0"),
        (None, _, Some(status)) => Finding::new(Cause::FailureStatus, format!("exited with status {status}")),
        (None, _, None) => Finding::new(Cause::Unknown, "ended; how is not known"),
    };
    found.into_diagnosis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_cause() {
        let cause = |ended: Ended| diagnose_end(&ended).cause;
        let killed = |signal| Ended {
            signal: Some(signal),
            ..Ended::default()
        };
        assert_eq!(cause(killed(SigNo::KILL)), Cause::Killed);
        assert_eq!(cause(killed(SigNo::SYS)), Cause::BlockedSystemCall);
        let oom = Ended {
            out_of_memory: Some("oom_kill rose by 1".into()),
            ..killed(SigNo::KILL)
        };
        assert_eq!(cause(oom), Cause::OutOfMemory);
        let exited = |status| Ended {
            status: Some(status),
            ..Ended::default()
        };
        assert_eq!(cause(exited(3)), Cause::FailureStatus);
        assert_eq!(cause(exited(0)), Cause::Exited);
        assert_eq!(cause(Ended::default()), Cause::Unknown);
    }
}
