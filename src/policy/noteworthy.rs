//! Whether a fatal signal is worth a report, or the ordinary end of a process.
//!
//! Processes are ended on purpose all day: a person presses ctrl-C, a shell ends its background job, `yes | head`
//! dies of its closed pipe. What is left out here ends as it would have, and nothing is written about it.

use crate::sys::SigNo;
use crate::sys::signal::{DefaultAction, SI_KERNEL};

/// How a fatal signal came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The signal.
    pub signal: SigNo,
    /// `si_code`.
    pub code: i32,
    /// Whether another process of the same service sent it.
    pub from_service: bool,
    /// Whether the process is the one that was started or attached, and not one that it started.
    pub first_process: bool,
}

/// Whether it is worth a report.
pub fn is_noteworthy(origin: &Origin) -> bool {
    if origin.signal.default_action() == DefaultAction::Core {
        return true;
    }
    let from_terminal = origin.signal == SigNo::INT && origin.code == SI_KERNEL;
    let closed_pipe = origin.signal == SigNo::PIPE && !origin.first_process;
    !(from_terminal || origin.from_service || closed_pipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(signal: i32, code: i32) -> Origin {
        Origin {
            signal: SigNo(signal),
            code,
            from_service: false,
            first_process: true,
        }
    }

    #[test]
    fn what_would_leave_a_core_is_always_noted() {
        let inside = Origin {
            from_service: true,
            first_process: false,
            ..origin(libc::SIGQUIT, 0)
        };
        assert!(is_noteworthy(&inside));
        assert!(is_noteworthy(&Origin {
            signal: SigNo::SEGV,
            ..inside
        }));
    }

    #[test]
    fn an_end_on_purpose_is_not() {
        assert!(!is_noteworthy(&origin(libc::SIGINT, SI_KERNEL)));
        assert!(!is_noteworthy(&Origin {
            from_service: true,
            ..origin(libc::SIGTERM, 0)
        }));
        assert!(!is_noteworthy(&Origin {
            first_process: false,
            ..origin(libc::SIGPIPE, 0)
        }));
    }

    #[test]
    fn an_end_that_somebody_outside_brought_about_is() {
        assert!(is_noteworthy(&origin(libc::SIGTERM, 0)));
        assert!(is_noteworthy(&origin(libc::SIGINT, 0)));
        assert!(is_noteworthy(&origin(libc::SIGPIPE, 0)));
        assert!(is_noteworthy(&origin(libc::SIGALRM, SI_KERNEL)));
    }
}
