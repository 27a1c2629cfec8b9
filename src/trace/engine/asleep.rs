//! Stopping one thread that sleeps, because somebody wants to do something with it.
//!
//! The wait for it has a limit, and so does what it may be stopped by: any other stop than the one that was asked for was
//! not consumed, is reported again and takes its usual way.

use std::time::{Duration, Instant};

use crate::sys::news;
use crate::sys::ptrace::{self, PtraceError, Stopped};
use crate::sys::wait::{self, Event, Stop};
use crate::sys::{Pid, SigNo, Tid};

use super::Engine;

/// How long to wait for a signal between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Why a thread was not stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotStopped {
    /// It has ended.
    #[error("it has ended")]
    Gone,
    /// Its process is stopped, and stays so.
    #[error("its process is stopped by {0}; continue that first")]
    WithItsProcess(SigNo),
    /// It is in the middle of something else.
    #[error("it is about to take a signal; try again")]
    Busy,
    /// It does not answer.
    #[error("it did not stop within {} ms", .0.as_millis())]
    Late(Duration),
}

impl Engine {
    /// The process that a thread belongs to, where that is known.
    pub fn process_of(&self, tid: Tid) -> Option<Pid> {
        self.machine.thread(tid)?.process
    }

    /// Stops a thread, for at most so long, in a stop that holds no signal. A system call that this interrupts is made to
    /// go on when the thread is let go on.
    pub fn stop(&mut self, tid: Tid, timeout: Duration) -> Result<Stopped, NotStopped> {
        let stopped = await_stop(tid, timeout);
        // Signals that told of others may have been taken meanwhile.
        self.waiting.expect_events();
        stopped
    }

    /// Lets a thread go on that [`Self::stop`] has stopped, from where its registers point now.
    pub fn go_on(&mut self, thread: Stopped) {
        self.resume(thread, None);
    }
}

fn await_stop(tid: Tid, timeout: Duration) -> Result<Stopped, NotStopped> {
    let deadline = Instant::now() + timeout;
    match ptrace::interrupt(tid) {
        Ok(()) => {}
        Err(PtraceError::Died(_)) => return Err(NotStopped::Gone),
        Err(_) => return Err(NotStopped::Busy),
    }
    loop {
        match wait::peek(tid) {
            Some(Event::Stopped(thread, Stop::Trap)) => {
                thread.restart_interrupted_call();
                return Ok(thread);
            }
            Some(Event::Stopped(_, Stop::Group(signal))) => return Err(NotStopped::WithItsProcess(signal)),
            Some(Event::Stopped(..)) => return Err(NotStopped::Busy),
            Some(Event::Ended(..)) => return Err(NotStopped::Gone),
            None if !wait::is_tracee(tid) => return Err(NotStopped::Gone),
            None if Instant::now() >= deadline => return Err(NotStopped::Late(timeout)),
            None => drop(news::await_child(LOOK_AGAIN)),
        }
    }
}
