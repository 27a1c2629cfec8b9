//! Timers that raise a signal once, in the thread that made them (timer_create(2), `SIGEV_THREAD_ID`), or end the process.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

/// A timer; it exists for as long as the process. Its number can be kept in an atomic, for signal handlers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Timer(usize);

impl Timer {
    /// A timer that raises `signal`, once [`Timer::set`] says when.
    pub(super) fn new(signal: libc::c_int) -> io::Result<Self> {
        // SAFETY: sigevent is plain data, all zero is a valid value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_notify_thread_id = nix::unistd::gettid().as_raw();
        event.sigev_signo = signal;
        Self::create(event)
    }

    /// A timer that kills this process, once [`Timer::set`] says when.
    pub(super) fn killing() -> io::Result<Self> {
        // SAFETY: sigevent is plain data, all zero is a valid value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGKILL;
        Self::create(event)
    }

    fn create(mut event: libc::sigevent) -> io::Result<Self> {
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are to live locals.
        let outcome = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        Errno::result(outcome)?;
        Ok(Self(id as usize))
    }

    /// Sets or resets it; zero stops it. Safe in a signal handler (signal-safety(7)).
    pub(super) fn set(self, delay: Duration) {
        let once = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: delay.as_secs() as i64,
                tv_nsec: i64::from(delay.subsec_nanos()),
            },
        };
        // SAFETY: the id came from timer_create and is never deleted; the value is valid by construction.
        unsafe { libc::timer_settime(self.0 as libc::timer_t, 0, &raw const once, std::ptr::null_mut()) };
    }

    /// The number behind it.
    pub(super) fn number(self) -> usize {
        self.0
    }

    /// The timer of that number.
    pub(super) fn of_number(number: usize) -> Self {
        Self(number)
    }
}
