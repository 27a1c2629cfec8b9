//! A deadline that a blocked system call cannot escape: past it, the process ends.
//!
//! Attaching can block for as long as another process wants (`cred_guard_mutex`), and so can reading /proc
//! of a process whose memory map is locked. A tracer that hangs would hold up the service; one that dies lets
//! it run on, since nothing it looked at was consumed, and its front starts another.

use std::marker::PhantomData;
use std::time::Duration;

/// While one is alive, SIGALRM with its default action ends this process when the time is up.
#[derive(Debug)]
pub struct Deadline {
    one_at_a_time: PhantomData<*const ()>,
}

impl Deadline {
    /// Sets the deadline. One that is already set is replaced.
    pub fn after(time: Duration) -> Self {
        set(time.max(Duration::from_millis(1)));
        Self {
            one_at_a_time: PhantomData,
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        set(Duration::ZERO);
    }
}

fn set(time: Duration) {
    let value = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: time.as_secs() as i64,
            tv_usec: i64::from(time.subsec_micros()),
        },
    };
    // SAFETY: `value` is live and valid by construction; the old value is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const value, std::ptr::null_mut()) };
}
