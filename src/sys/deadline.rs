//! A deadline that a blocked system call cannot escape: past it, the process is killed.
//!
//! Attaching can block for as long as another process wants (`cred_guard_mutex`), and so can reading the memory of a
//! process that serves its own page faults (userfaultfd(2)), or /proc of one whose memory map is locked. A tracer that
//! hangs would hold up the service; one that dies lets it run on, since nothing it looked at was consumed, and its front
//! starts another.
//!
//! The kernel gives a fatal signal other than SIGKILL to no thread that has a signal pending already (kernel/signal.c,
//! `wants_signal`), and the news that wakes a tracer is one: so a timer sends SIGKILL itself.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::timer::Timer;

thread_local! {
    /// When this process ends, if it does not change its mind.
    static END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// While one is alive, this process is killed when its time is up.
#[derive(Debug)]
pub struct Deadline {
    outer: Option<Instant>,
    of_this_thread: PhantomData<*const ()>,
}

impl Deadline {
    /// Sets the deadline. One that is set already goes on to hold: it can be brought nearer, not put off.
    pub fn after(time: Duration) -> Self {
        let outer = END.get();
        let end = Instant::now() + time.max(Duration::from_millis(1));
        set(Some(outer.map_or(end, |outer| outer.min(end))));
        Self {
            outer,
            of_this_thread: PhantomData,
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        set(self.outer);
    }
}

fn set(end: Option<Instant>) {
    END.set(end);
    let left = end.map_or(Duration::ZERO, |end| {
        let left = end.saturating_duration_since(Instant::now());
        left.max(Duration::from_nanos(1))
    });
    static TIMER: OnceLock<Option<Timer>> = OnceLock::new();
    match TIMER.get_or_init(|| Timer::killing().ok()) {
        Some(timer) => timer.set(left),
        None => alarm(left),
    }
}

/// The next best where no timer can be had: SIGALRM, of which there is always one.
fn alarm(time: Duration) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn an_inner_deadline_leaves_the_outer_one() {
        let outer = Deadline::after(LONG);
        let end = END.get();
        drop(Deadline::after(2 * LONG));
        assert_eq!(END.get(), end);
        let nearer = Deadline::after(LONG / 2);
        assert!(END.get() < end);
        drop(nearer);
        assert_eq!(END.get(), end);
        drop(outer);
        assert_eq!(END.get(), None);
    }
}
