//! Relative timeouts of system calls that are made to restart again and again.
//!
//! A restarted call waits its whole timeout anew, since the kernel keeps no rest of it: `-ERESTART_RESTARTBLOCK`, which
//! does, goes back to where the call itself has said (`restart_block.fn`, kernel/time, fs/select.c, kernel/futex), and
//! the calls that return `EINTR` have said nothing. Signals that the program ignores could so keep a timeout from ever
//! passing: SIGCHLD once a second, an `epoll_wait(2)` of two. So a call is followed from its first repair on, and when
//! its timeout has passed since, it returns what it would have returned.
//!
//! That needs the certainty that it is the same call. Registers do not give it: a loop repeats its call with equal
//! ones. Between two repairs of one call its thread sleeps twice, in the call and in the stop, so its voluntary
//! context switches tell (proc_pid_status(5)); any other number begins anew, with the whole timeout. A call that ends
//! at once, in the microseconds between our answer and its restart, and is followed by an equal one that sleeps, is
//! taken for the same.
//!
//! What remains: the time before the first repair is not known, so that one ignored signal can stretch a timeout to
//! nearly twice its length, and the rest after the last one is waited in full. The timeouts of sockets (`SO_RCVTIMEO`)
//! and of `io_uring_enter(2)` are no arguments of the call and are not followed, nor are the calls of 32-bit programs.
//! To lower the argument itself was dropped: it lies in a register that the program may expect unchanged, or in memory
//! that may be shared.

use std::time::{Duration, Instant};

use fnv::FnvHashMap;

use crate::sys::Tid;
use crate::sys::ptrace::Stopped;
use crate::sys::regs::SystemCall;
use crate::sys::status::Status;

/// How often a thread is looked at whose call is repaired again and again: its status costs 10 us.
const SAMPLING: Duration = Duration::from_millis(10);
/// How often a thread sleeps between two repairs of one call: in the call, and in the stop.
const SLEEPS: u64 = 2;

/// The calls that were repaired, by the threads that wait in them.
#[derive(Debug, Default)]
pub(super) struct Timeouts {
    calls: FnvHashMap<Tid, Repaired>,
}

/// A call that was repaired.
#[derive(Debug)]
struct Repaired {
    place: Place,
    since: Instant,
    sampled: Instant,
    switches: u64,
    repairs: u64,
}

/// Where a thread waits, and in what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    pc: u64,
    sp: u64,
    call: SystemCall,
}

impl Timeouts {
    /// Makes a system call that the stop of this thread interrupted go on, or return if its timeout has passed.
    pub(super) fn repair(&mut self, thread: &Stopped, now: Instant) {
        let Ok(mut registers) = thread.registers() else {
            // Of a 32-bit program, whose calls are repaired and not followed.
            return thread.restart_interrupted_call();
        };
        let interrupted = registers.clone();
        if !registers.restart_interrupted_call() {
            return;
        }
        if let Some(call) = interrupted.system_call()
            && let Some((timeout, result)) = timeout(&call, |address| timespec(thread, address))
        {
            let place = Place {
                pc: interrupted.pc(),
                sp: interrupted.sp(),
                call,
            };
            if self.has_passed(thread.tid(), place, timeout, now) {
                registers.set_result(result);
            }
        }
        // Failure means that the thread died.
        let _ = thread.set_registers(&registers);
    }

    /// The thread is traced no longer.
    pub(super) fn forget(&mut self, tid: Tid) {
        self.calls.remove(&tid);
    }

    fn has_passed(&mut self, tid: Tid, place: Place, timeout: Duration, now: Instant) -> bool {
        let switches = || Status::read(tid).map_or(0, |status| status.voluntary_switches);
        match self.calls.get_mut(&tid) {
            Some(known) if known.place == place => {
                let passed = known.repaired(now, switches) && now.duration_since(known.since) >= timeout;
                if passed {
                    self.calls.remove(&tid);
                }
                passed
            }
            _ => {
                self.calls.insert(tid, Repaired::new(place, now, switches()));
                false
            }
        }
    }
}

impl Repaired {
    fn new(place: Place, now: Instant, switches: u64) -> Self {
        Self {
            place,
            since: now,
            sampled: now,
            switches,
            repairs: 0,
        }
    }

    /// Notes one more repair; whether it is certain that it is the same call still.
    fn repaired(&mut self, now: Instant, switches: impl FnOnce() -> u64) -> bool {
        self.repairs += 1;
        if now.duration_since(self.sampled) < SAMPLING {
            return false;
        }
        let switches = switches();
        let same = switches == self.switches.saturating_add(self.repairs.saturating_mul(SLEEPS));
        *self = Self {
            since: if same { self.since } else { now },
            ..Self::new(self.place, now, switches)
        };
        same
    }
}

/// How long a call waits at most, and what it returns when that time has passed. None: for ever, or not known.
fn timeout(call: &SystemCall, timespec: impl Fn(u64) -> Option<Duration>) -> Option<(Duration, i64)> {
    const AGAIN: i64 = -(libc::EAGAIN as i64);
    let milliseconds = |value: u64| u64::try_from(value as i32).ok().map(Duration::from_millis);
    match call.name()? {
        "epoll_wait" | "epoll_pwait" => Some((milliseconds(call.args[3])?, 0)),
        "epoll_pwait2" => Some((timespec(call.args[3])?, 0)),
        "semtimedop" => Some((timespec(call.args[3])?, AGAIN)),
        "io_getevents" | "io_pgetevents" => Some((timespec(call.args[4])?, 0)),
        "rt_sigtimedwait" => Some((timespec(call.args[2])?, AGAIN)),
        _ => None,
    }
}

/// A `struct timespec` of the thread's; none at a null pointer, which stands for no timeout.
fn timespec(thread: &Stopped, address: u64) -> Option<Duration> {
    if address == 0 {
        return None;
    }
    let seconds = thread.peek(address).ok()?;
    let nanoseconds = thread.peek(address.checked_add(8)?).ok()?;
    Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: SystemCall = SystemCall {
        number: libc::SYS_semtimedop as u64,
        args: [1, 2, 3, 4, 5, 6],
    };
    const PLACE: Place = Place {
        pc: 1,
        sp: 2,
        call: CALL,
    };

    #[test]
    fn a_call_is_followed_as_long_as_its_thread_sleeps_in_it_alone() {
        let start = Instant::now();
        let mut call = Repaired::new(PLACE, start, 100);
        assert!(call.repaired(start + SAMPLING, || 102));
        // Two repairs between two samples.
        assert!(!call.repaired(start + SAMPLING, || panic!("sampled too often")));
        assert!(call.repaired(start + 2 * SAMPLING, || 106));
        assert_eq!(call.since, start);
        assert!(
            !call.repaired(start + 3 * SAMPLING, || 109),
            "it slept in something else"
        );
        assert_eq!(call.since, start + 3 * SAMPLING);
        assert!(call.repaired(start + 4 * SAMPLING, || 111));
    }

    #[test]
    fn timeouts_are_where_each_call_has_them() {
        let second = |address| (address == 4).then_some(Duration::from_secs(1));
        let again = -i64::from(libc::EAGAIN);
        assert_eq!(timeout(&CALL, second), Some((Duration::from_secs(1), again)));
        let epoll = |limit: i32| SystemCall {
            number: libc::SYS_epoll_pwait as u64,
            args: [1, 2, 3, limit as u32 as u64, 0, 0],
        };
        assert_eq!(
            timeout(&epoll(250), |_| None),
            Some((Duration::from_millis(250), 0))
        );
        assert_eq!(timeout(&epoll(-1), |_| None), None);
        let read = SystemCall {
            number: libc::SYS_read as u64,
            ..CALL
        };
        assert_eq!(timeout(&read, second), None);
    }
}
