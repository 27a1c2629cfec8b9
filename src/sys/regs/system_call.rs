//! A system call in progress: its number and arguments, from registers or from the kernel's line in /proc.

/// `restart_syscall(2)`.
const RESTART: u64 = libc::SYS_restart_syscall as u64;
/// `FUTEX_CMD_MASK` (linux/futex.h): a futex operation without its options.
const FUTEX_COMMAND: u64 = 0x7f;
/// The operations that wait: `FUTEX_WAIT`, `LOCK_PI`, `WAIT_BITSET`, `WAIT_REQUEUE_PI`, `LOCK_PI2`.
const FUTEX_WAITS: [u64; 5] = [0, 6, 9, 11, 13];

/// The system call that a stopped thread is in, or was about to restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemCall {
    /// Its number on this architecture.
    pub number: u64,
    /// Its six argument registers; those it does not take hold leftovers.
    pub args: [u64; 6],
}

impl SystemCall {
    /// What the kernel calls it on this architecture.
    pub fn name(&self) -> Option<&'static str> {
        syscalls::Sysno::new(usize::try_from(self.number).ok()?).map(|call| call.name())
    }

    /// Reads `/proc/PID/task/TID/syscall` (proc(5)): `202 0x7f...`, six arguments, stack pointer and program counter;
    /// none for `running`, and for a thread that sleeps in no call (`-1`).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self { number, args })
    }

    /// The word that it waits on, if it is futex(2) with an operation that waits.
    pub fn futex(&self) -> Option<u64> {
        let waits =
            self.number == libc::SYS_futex as u64 && FUTEX_WAITS.contains(&(self.args[1] & FUTEX_COMMAND));
        waits.then_some(self.args[0])
    }

    /// Whether it is the second part of a call that was interrupted (restart_syscall(2)): its number says nothing, its
    /// arguments are those of the first.
    pub fn is_restart(&self) -> bool {
        self.number == RESTART
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let line = format!("{} 0x10 0x80 0x2 0x0 0x0 0xff 0x7ffd0 0x7f001\n", libc::SYS_futex);
        let call = SystemCall::parse(line.as_bytes()).unwrap();
        assert_eq!(
            (call.args, call.futex()),
            ([0x10, 0x80, 2, 0, 0, 0xff], Some(0x10))
        );
        for other in ["running\n", "-1 0x7ffd0 0x7f001\n", "202 0x1\n", ""] {
            assert_eq!(SystemCall::parse(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn only_some_operations_wait() {
        let futex = |operation| SystemCall {
            number: libc::SYS_futex as u64,
            args: [8, operation, 0, 0, 0, 0],
        };
        assert_eq!(futex(libc::FUTEX_WAIT_BITSET as u64 | 0x180).futex(), Some(8));
        assert_eq!(futex(libc::FUTEX_WAKE as u64 | 0x80).futex(), None);
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            SystemCall::parse(&text);
        }
    }
}
