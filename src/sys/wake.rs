//! Waking a tracer that is blocked in waitid(2): news on its socket, or a time that has come.
//!
//! A tracer waits for its tracees and for its front at once, and no descriptor reports ptrace-stops. So the
//! socket raises SIGIO (fcntl(2), `O_ASYNC`), whose handler interrupts the wait. A signal that arrives between
//! the last look at the flag and the wait would be missed; therefore the handler also sets a timer, which
//! raises SIGIO again a millisecond later, until [`Wake::take`] has seen the flag. An idle tracer has no timer.
//!
//! Tried and left: polling a signalfd beside the socket costs two more system calls for every stop.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};

use super::timer::Timer;

/// How long after an unheard wake-up the next one comes.
const REPEAT: Duration = Duration::from_millis(1);

static PENDING: AtomicBool = AtomicBool::new(true);
static REPEATER: AtomicUsize = AtomicUsize::new(0);

/// The wake-up of this process; one per process.
#[derive(Debug)]
pub struct Wake {
    schedule: Timer,
}

impl Wake {
    /// Makes input on `socket` wake this process.
    pub fn install(socket: BorrowedFd<'_>) -> io::Result<Self> {
        REPEATER.store(Timer::new(libc::SIGIO)?.number(), Ordering::Relaxed);
        let schedule = Timer::new(libc::SIGIO)?;
        let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler touches atomics and timer_settime(2), which signal-safety(7) allows.
        unsafe { nix::sys::signal::sigaction(Signal::SIGIO, &action) }?;
        raise_on_input(socket)?;
        Ok(Self { schedule })
    }

    /// Makes news on another descriptor wake this process as well: input, or that its other end is gone.
    pub fn watch(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        raise_on_input(descriptor)
    }

    /// Whether there was a wake-up that [`Wake::take`] has not seen. True at first.
    pub fn is_pending(&self) -> bool {
        PENDING.load(Ordering::Relaxed)
    }

    /// Whether there was a wake-up since the last call. True at first.
    pub fn take(&self) -> bool {
        let pending = PENDING.swap(false, Ordering::Relaxed);
        if pending {
            repeater().set(Duration::ZERO);
        }
        pending
    }

    /// Notes a wake-up that was seen by other means.
    pub fn note(&self) {
        PENDING.store(true, Ordering::Relaxed);
    }

    /// Wakes this process once, after that time; the last call counts.
    pub fn after(&self, delay: Duration) {
        self.schedule.set(delay.max(Duration::from_micros(1)));
    }
}

fn raise_on_input(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let own = std::process::id() as libc::pid_t;
    // SAFETY: plain integers on a descriptor that is alive.
    let owner = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETOWN, own) };
    Errno::result(owner)?;
    // SAFETY: as above; the flags are those of a descriptor that this process alone reads.
    let flags = unsafe {
        libc::fcntl(
            descriptor.as_raw_fd(),
            libc::F_SETFL,
            libc::O_ASYNC | libc::O_NONBLOCK,
        )
    };
    Errno::result(flags)?;
    Ok(())
}

extern "C" fn on_signal(_: libc::c_int) {
    PENDING.store(true, Ordering::Relaxed);
    repeater().set(REPEAT);
}

fn repeater() -> Timer {
    Timer::of_number(REPEATER.load(Ordering::Relaxed))
}
