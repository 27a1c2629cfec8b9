//! `snapshot`: a copy of the whole process (copy on write), which never runs, for whoever writes its memory out.
//!
//! The thread that stands in front of its signal is made to call clone(2). The copy shares no descriptor with the process:
//! it is born with the same table of them and leaves that for an empty one before anything else (close_range(2)), so no
//! connection stays open, no lock held and no address taken on its account. Its parent hears nothing of it: it has no
//! exit signal.
//!
//! # If this process dies
//!
//! The copy is traced from birth and held in a stop. Where it is held, a frame like those of signal handlers lies on its
//! stack, and leads to exit_group(2): let go by our death, it ends by itself, and runs no code of the program.
//! `PTRACE_O_EXITKILL` would do the same later, but between its birth and that request nothing would hold it.

use std::fs::File;
use std::io;

use nix::errno::Errno;

use crate::sys::fail;
use crate::sys::memory::Memory;
use crate::sys::ptrace::Stopped;
use crate::sys::wait::{self, Event};
use crate::sys::{Pid, Tid, process};

use super::inject::{self, Call, Failure, Obstacle};
use super::landing::Landing;
use super::sites::Sites;

/// How far below the thread's stack the copy's frame lies: the way back of the thread itself lies between.
const BELOW: u64 = 4096;
/// The kernel blocks what it can; the copy takes no signal.
const ALL_SIGNALS: u64 = u64::MAX;

/// A copy of a process, held for good.
#[derive(Debug)]
pub struct Snapshot {
    /// Its id.
    pub pid: Pid,
    /// `/proc/PID/mem`.
    pub memory: File,
    /// `/proc/PID/smaps`.
    pub smaps: File,
    /// `/proc/PID/pagemap`.
    pub pagemap: File,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum NotCopied {
    /// Nothing would end the copy if we died.
    #[error("the process has no code by which a copy could end by itself")]
    NoEnd,
    /// There is no room for the frame that ends it.
    #[error("there is no room below the thread's stack")]
    NoRoom,
    /// The thread, or the copy, was not sent.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The kernel refused.
    #[error("{call} failed: {errno}")]
    Refused {
        /// The system call.
        call: &'static str,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The copy's files could not be opened.
    #[error("cannot open the copy's memory: {0}")]
    Unreadable(#[from] io::Error),
}

/// There is no copy.
#[derive(Debug)]
pub struct Failed {
    /// The thread in its stop, if it still is.
    pub thread: Option<Stopped>,
    /// Why.
    pub reason: NotCopied,
}

/// Copies the process of a thread in its signal-delivery-stop; returns the thread in that stop again.
///
/// All threads of the process should be stopped, or the copy is of no one moment. Takes some 20 ms for each GB that is
/// resident in small pages; the caller bounds that with a [`Deadline`](crate::sys::deadline::Deadline).
pub fn take(thread: Stopped, process: Pid, sites: &Sites) -> Result<(Stopped, Snapshot), Failed> {
    let end = match end(&thread, sites) {
        Ok(end) => end,
        Err(reason) => {
            return Err(Failed {
                thread: Some(thread),
                reason,
            });
        }
    };
    let call = Call {
        number: libc::SYS_clone,
        args: [libc::CLONE_FILES as u64, end.sp(), 0, 0, 0, 0],
    };
    let (thread, result, born) = inject::run_bearing(thread, process, sites, call)?;
    fail::point("isolate.copy.born");
    let failed = |thread, reason| Failed {
        thread: Some(thread),
        reason,
    };
    let Some(copy) = born else {
        let errno = Errno::from_raw(i32::try_from(-result).unwrap_or(0));
        return Err(failed(thread, NotCopied::Refused { call: "clone", errno }));
    };
    match hold(copy, &end) {
        Ok(snapshot) => Ok((thread, snapshot)),
        Err(reason) => {
            process::kill(copy.as_process());
            Err(failed(thread, reason))
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            thread: failure.thread,
            reason: failure.reason.into(),
        }
    }
}

/// Puts what ends the copy below the stack, of the thread now and so of the copy.
fn end(thread: &Stopped, sites: &Sites) -> Result<Landing, NotCopied> {
    let way_back = sites.way_back.ok_or(NotCopied::NoEnd)?;
    let registers = thread.registers().map_err(Obstacle::from)?;
    let exit = registers.at_system_call(way_back.call, libc::SYS_exit_group as u64, [0; 6], 0);
    let memory = Memory::of(thread.tid());
    let below = registers.sp().saturating_sub(BELOW);
    let landing = Landing::below(&exit, below, ALL_SIGNALS, &memory, sites);
    landing.has_stack().then_some(landing).ok_or(NotCopied::NoRoom)
}

/// Waits for the copy's first stop, parts it from the descriptors of the process, and leaves it stopped.
fn hold(copy: Tid, end: &Landing) -> Result<Snapshot, NotCopied> {
    let Some(Event::Stopped(stopped, _)) = wait::await_one(copy) else {
        return Err(Obstacle::from(crate::sys::ptrace::PtraceError::Died(copy)).into());
    };
    let call = Call {
        number: libc::SYS_close_range,
        args: [
            0,
            u64::from(u32::MAX),
            u64::from(libc::CLOSE_RANGE_UNSHARE),
            0,
            0,
            0,
        ],
    };
    let registers = stopped.registers().map_err(Obstacle::from)?;
    stopped
        .set_registers(&end.registers(&registers, call))
        .map_err(Obstacle::from)?;
    let (stopped, result) = inject::travel(stopped, call)?;
    if result != 0 {
        let errno = Errno::from_raw(i32::try_from(-result).unwrap_or(0));
        return Err(NotCopied::Refused {
            call: "close_range",
            errno,
        });
    }
    fail::point("isolate.copy.held");
    let pid = stopped.tid().as_process();
    let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
    Ok(Snapshot {
        pid,
        memory: open("mem")?,
        smaps: open("smaps")?,
        pagemap: open("pagemap")?,
    })
}
