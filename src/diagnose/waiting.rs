//! What a thread waits for, as far as its system call tells: from its registers, or from the text of
//! `/proc/PID/task/TID/syscall` (proc(5)) where it was not stopped.

use super::system_call_name;
use crate::capture::{Capture, ThreadFacts};
use crate::sys::regs::SystemCall;

/// `CLONE_VFORK` of clone(2).
const CLONE_VFORK: u64 = 0x4000;

/// The system call that a thread was in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InCall {
    /// Number and arguments. Of a call that was interrupted and goes on, the number is that of its first part.
    pub call: SystemCall,
    /// Whether the thread waited in it; otherwise it was about to return from it.
    pub waits: bool,
}

impl InCall {
    /// The system call of a captured thread.
    pub fn of(capture: &Capture, thread: &ThreadFacts) -> Option<Self> {
        let (mut call, waits) = match capture.registers(thread) {
            Some(Ok(registers)) => (registers.system_call()?, registers.blocked_call().is_some()),
            _ => (thread.call_of_running(capture)?, true),
        };
        if let Some(first_part) = thread.restarted.filter(|_| call.is_restart()) {
            call.number = first_part;
        }
        Some(Self { call, waits })
    }

    /// The word that the thread waits on, if it waits in futex(2).
    pub fn futex(&self) -> Option<u64> {
        self.call.futex().filter(|_| self.waits)
    }

    /// Whether its wait in futex(2) has an end: a timeout was given.
    pub fn is_timed(&self) -> bool {
        self.futex().is_some() && self.call.args[3] != 0
    }

    /// Its name.
    pub fn name(&self) -> Option<&'static str> {
        system_call_name(self.call.number)
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
            "clone" if self.call.args[0] & CLONE_VFORK != 0 => "vfork",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_blocks_is_waited_in() {
        let with = |number: i64, first, waits| InCall {
            call: SystemCall {
                number: number as u64,
                args: [first, 0, 0, 0, 0, 0],
            },
            waits,
        };
        let call = |number, waits| with(number, 0, waits);
        assert_eq!(call(libc::SYS_accept4, true).waits_for(), Some("accept"));
        assert_eq!(call(libc::SYS_accept4, false).waits_for(), None);
        assert_eq!(call(libc::SYS_getpid, true).waits_for(), None);
        assert_eq!(call(libc::SYS_clone, true).waits_for(), None);
        let vfork = with(libc::SYS_clone, CLONE_VFORK, true);
        assert_eq!(vfork.waits_for(), Some("vfork"));
    }
}
