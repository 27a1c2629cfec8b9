//! What a thread waits for, as far as its system call tells: from its registers, or from the text of
//! `/proc/PID/task/TID/syscall` (proc(5)) where it was not stopped.

use super::system_call_name;
use crate::capture::{Capture, ThreadFacts};

/// `CLONE_VFORK` of clone(2).
const CLONE_VFORK: u64 = 0x4000;

/// The system call that a thread was in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InCall {
    /// Its number on this architecture.
    pub number: u64,
    /// Its argument registers; those it does not take hold leftovers.
    pub args: [u64; 6],
    /// Whether the thread waited in it; otherwise it was about to return from it.
    pub waits: bool,
}

impl InCall {
    /// The system call of a captured thread.
    pub fn of(capture: &Capture, thread: &ThreadFacts) -> Option<Self> {
        match capture.registers(thread) {
            Some(Ok(registers)) => {
                let call = registers.system_call()?;
                Some(Self {
                    number: call.number,
                    args: call.args,
                    waits: registers.blocked_call().is_some(),
                })
            }
            _ => Self::parse(capture.get(thread.system_call?)),
        }
    }

    /// Its name.
    pub fn name(&self) -> Option<&'static str> {
        system_call_name(self.number)
    }

    /// What it waits for, in one word; none if it does not wait, or for something else.
    pub fn waits_for(&self) -> Option<&'static str> {
        let name = self.name().filter(|_| self.waits)?;
        Some(match name {
            "futex" => "futex",
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "poll" | "ppoll" | "select" | "pselect6"
            | "io_getevents" | "io_pgetevents" | "io_uring_enter" => "poll",
            "read" | "readv" | "pread64" | "preadv" | "preadv2" | "recvfrom" | "recvmsg" | "recvmmsg"
            | "msgrcv" | "mq_timedreceive" => "read",
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendto" | "sendmsg" | "sendmmsg"
            | "sendfile" | "splice" | "msgsnd" | "mq_timedsend" => "write",
            "accept" | "accept4" => "accept",
            "connect" => "connect",
            "nanosleep" | "clock_nanosleep" => "sleep",
            "wait4" | "waitid" => "child",
            "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => "signal",
            "flock" | "fcntl" => "file lock",
            "semop" | "semtimedop" => "semaphore",
            "vfork" => "vfork",
            "clone" if self.args[0] & CLONE_VFORK != 0 => "vfork",
            _ => return None,
        })
    }

    /// Reads `202 0x7f... (six arguments) SP PC`; none for `running`, and for a thread that sleeps in no call (`-1`).
    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self {
            number,
            args,
            waits: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let line = format!("{} 0x10 0x80 0x2 0x0 0x0 0xff 0x7ffd0 0x7f001\n", libc::SYS_futex);
        let call = InCall::parse(line.as_bytes()).unwrap();
        assert_eq!(
            (call.name(), call.args),
            (Some("futex"), [0x10, 0x80, 2, 0, 0, 0xff])
        );
        assert_eq!(call.waits_for(), Some("futex"));
        for other in ["running\n", "-1 0x7ffd0 0x7f001\n", "202 0x1\n", ""] {
            assert_eq!(InCall::parse(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn only_a_call_that_blocks_is_waited_in() {
        let call = |number: i64, waits| InCall {
            number: number as u64,
            args: [0; 6],
            waits,
        };
        assert_eq!(call(libc::SYS_accept4, true).waits_for(), Some("accept"));
        assert_eq!(call(libc::SYS_accept4, false).waits_for(), None);
        assert_eq!(call(libc::SYS_getpid, true).waits_for(), None);
        assert_eq!(call(libc::SYS_clone, true).waits_for(), None);
        let vfork = InCall {
            args: [CLONE_VFORK, 0, 0, 0, 0, 0],
            ..call(libc::SYS_clone, true)
        };
        assert_eq!(vfork.waits_for(), Some("vfork"));
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            InCall::parse(&text).map(|call| call.waits_for());
        }
    }
}
