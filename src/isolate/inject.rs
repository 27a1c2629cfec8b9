//! One system call in a stopped thread, which then is in the same stop again.
//!
//! A thread that stands in front of a signal is sent to a system call instruction of its own C library, stopped where
//! the call returns, given its registers and its signal mask again, and let run into the same signal once more. Its
//! memory is changed below its stack pointer alone, where nothing lives.
//!
//! # If this process dies on the way
//!
//! The signal has been sent to the thread once more before it runs, and waits, blocked. The call returns through a
//! frame like those that the kernel makes for signal handlers, and rt_sigreturn(2) gives the thread its registers and
//! its mask, whereupon it takes that signal, in its original context. Where there is no room for a frame the thread has
//! no stack, so that the return itself ends it by SIGSEGV. It never runs on into code of the program.
//!
//! Single stepping was left aside: its SIGTRAP is forced on the thread, and where a program blocks or ignores that
//! signal the kernel resets its disposition for the whole process (kernel/signal.c, `force_sig_info_to_task`).

use std::io;

use crate::sys::fail;
use crate::sys::memory::Memory;
use crate::sys::process::bit;
use crate::sys::ptrace::{PtraceError, Stopped};
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::{SigInfo, send_to_thread};
use crate::sys::status::Status;
use crate::sys::wait::{self, Event, Stop};
use crate::sys::{Pid, SigNo, Tid};

use super::landing::Landing;
use super::sites::Sites;

/// `rseq_cs` in `struct rseq`, and the bounds in `struct rseq_cs` (linux/rseq.h), bytes from their beginning.
const RSEQ_SECTION: u64 = 8;
const SECTION_START: u64 = 8;
const SECTION_LENGTH: u64 = 16;

/// A system call to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its number on this architecture.
    pub number: i64,
    /// Its arguments; those it does not take may be anything.
    pub args: [u64; 6],
}

/// Why a thread was not sent.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// There is no code to send it through.
    #[error("the process has no code that enters the kernel")]
    NoSite,
    /// Nobody can say what the kernel enforces on it.
    #[error("what the kernel enforces on it cannot be read: {0}")]
    Unknown(io::Error),
    /// A shadow stack would refuse the return.
    #[error("a shadow stack checks its returns")]
    ShadowStack,
    /// Leaving would break a promise that the kernel made to the thread.
    #[error("it is inside a restartable sequence (rseq)")]
    RestartableSequence,
    /// A filter may end the process for the call.
    #[error("a seccomp filter is installed, and what it allows is not known")]
    Filtered,
    /// A signal handler of the C library would have nowhere to run.
    #[error("its stack pointer lies in no stack with room")]
    NoStack,
    /// It is not in front of a signal.
    #[error("it does not stand in front of a signal")]
    NoSignal,
    /// The signal could not be sent once more.
    #[error("its signal cannot be sent to it again: {0}")]
    NotSent(io::Error),
    /// A step could not be told from a signal.
    #[error("SIGTRAP, which tells of a step, is blocked or ignored")]
    NoStep,
    /// It is not where a parked thread is.
    #[error("it does not sleep as a parked thread does")]
    NotAsleep,
    /// The instruction behind the one that was stepped over faults, too.
    #[error("the next instruction takes {0} as well")]
    NoProgress(SigNo),
    /// It stopped for something else than the call.
    #[error("it stopped in the call for {0:?}")]
    Unexpected(Stop),
    /// A request failed: above all, the thread has died.
    #[error(transparent)]
    Ptrace(#[from] PtraceError),
}

/// A thread that was not sent, or did not come back.
#[derive(Debug)]
pub struct Failure {
    /// The thread in its stop, if it still is.
    pub thread: Option<Stopped>,
    /// Why.
    pub reason: Obstacle,
}

/// What a thread in front of its signal was like, for its return there.
///
/// Of the registers the general ones: what sends a thread into a system call and back changes no others.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) registers: GeneralRegisters,
    pub(super) mask: u64,
    pub(super) siginfo: SigInfo,
}

impl Context {
    /// What the thread is like now.
    pub(super) fn of(thread: &Stopped) -> Result<Self, Obstacle> {
        Ok(Self {
            registers: thread.registers()?,
            mask: thread.signal_mask()?,
            siginfo: thread.siginfo().map_err(|_| Obstacle::NoSignal)?,
        })
    }

    /// The signal that it was about to take.
    pub fn siginfo(&self) -> &SigInfo {
        &self.siginfo
    }
}

/// Has a thread in its signal-delivery-stop make one system call; returns it in that stop again, with what the call
/// returned (`-errno` where it failed).
///
/// The call must not block: this waits for it, and the caller bounds that with a
/// [`Deadline`](crate::sys::deadline::Deadline). A task that the call makes is traced from birth; its first stop is the
/// caller's to find.
pub fn run(thread: Stopped, process: Pid, sites: &Sites, call: Call) -> Result<(Stopped, i64), Failure> {
    let (thread, result, _) = run_bearing(thread, process, sites, call)?;
    Ok((thread, result))
}

/// The same for a call that makes a task; returns it too, by the id that this process knows it by.
pub fn run_bearing(
    thread: Stopped,
    process: Pid,
    sites: &Sites,
    call: Call,
) -> Result<(Stopped, i64, Option<Tid>), Failure> {
    let before = match prepare(&thread, process, sites, call) {
        Ok(before) => before,
        Err(reason) => return Err(Failure::of(thread, reason)),
    };
    fail::point("isolate.call.prepared");
    let lost = |reason| Failure { thread: None, reason };
    let mut born = None;
    let (thread, result) = travel_bearing(thread, call, &mut born).map_err(lost)?;
    fail::point("isolate.call.made");
    let thread = come_back(thread, &before).map_err(lost)?;
    Ok((thread, result, born))
}

impl Failure {
    pub(super) fn of(thread: Stopped, reason: Obstacle) -> Self {
        let gone = matches!(reason, Obstacle::Ptrace(PtraceError::Died(_)));
        Self {
            thread: (!gone).then_some(thread),
            reason,
        }
    }
}

/// Puts the thread in front of the call. The registers come before the mask: until the mask blocks its signal, the
/// thread takes that, and afterwards everything is in place for the way back.
fn prepare(thread: &Stopped, process: Pid, sites: &Sites, call: Call) -> Result<Context, Obstacle> {
    let before = Context::of(thread)?;
    let memory = Memory::of(thread.tid());
    check(thread, &memory, before.registers.pc())?;
    let landing = Landing::below(
        &before.registers,
        before.registers.sp(),
        before.mask,
        &memory,
        sites,
    );
    thread.set_registers(&landing.registers(&before.registers, call))?;
    let sent = send_to_thread(process, thread.tid(), before.siginfo.signal());
    fail::point("isolate.call.sent");
    let blocked = sent
        .map_err(Obstacle::NotSent)
        .and_then(|()| Ok(thread.set_signal_mask(!bit(SigNo::SYS))?));
    if let Err(reason) = blocked {
        thread.set_registers(&before.registers)?;
        return Err(reason);
    }
    Ok(before)
}

/// What the kernel enforces on a thread, among the rest of its status.
pub(super) fn status(thread: &Stopped) -> Result<Status, Obstacle> {
    Status::read(thread.tid()).map_err(Obstacle::Unknown)
}

/// Whether a thread may be sent elsewhere and back.
fn check(thread: &Stopped, memory: &Memory, pc: u64) -> Result<(), Obstacle> {
    let status = status(thread)?;
    if status.shadow_stack {
        return Err(Obstacle::ShadowStack);
    }
    if status.seccomp_filter {
        return Err(Obstacle::Filtered);
    }
    if let Some(rseq) = thread.rseq_address()?
        && is_in_section(memory, rseq, pc)
    {
        return Err(Obstacle::RestartableSequence);
    }
    Ok(())
}

/// Lets the thread make the call, up to the stop at its return.
pub(super) fn travel(thread: Stopped, call: Call) -> Result<(Stopped, i64), Obstacle> {
    travel_bearing(thread, call, &mut None)
}

/// The same; notes the task that the call makes.
fn travel_bearing(thread: Stopped, call: Call, born: &mut Option<Tid>) -> Result<(Stopped, i64), Obstacle> {
    let tid = thread.tid();
    let mut entered = false;
    thread.to_system_call(None)?;
    loop {
        let (thread, stop) = next_stop(tid)?;
        match stop {
            Stop::Signal(SigNo::TRAP) if !entered => {
                wait::consume(&thread);
                let number = thread.registers()?.system_call().map(|call| call.number);
                if number != Some(call.number as u64) {
                    return Err(Obstacle::Unexpected(stop));
                }
                entered = true;
                fail::point("isolate.call.entered");
                thread.to_system_call(None)?;
            }
            Stop::Signal(SigNo::TRAP) => {
                wait::consume(&thread);
                let result = thread.registers()?.result() as i64;
                return Ok((thread, result));
            }
            Stop::NewTask(_) => {
                wait::consume(&thread);
                *born = Some(Tid(thread.event_message()? as i32));
                thread.to_system_call(None)?;
            }
            Stop::Signal(SigNo::STOP) => thread.to_system_call(Some(SigNo::STOP))?,
            Stop::Group(_) | Stop::Trap => thread.to_system_call(None)?,
            _ => return Err(Obstacle::Unexpected(stop)),
        }
    }
}

/// Gives the thread back what it had, and lets it run into its signal. The mask comes first: from then on it takes that
/// signal, whatever becomes of us.
pub(super) fn come_back(thread: Stopped, before: &Context) -> Result<Stopped, Obstacle> {
    let tid = thread.tid();
    let signal = before.siginfo.signal();
    thread.set_signal_mask(!bit(signal))?;
    fail::point("isolate.call.unblocked");
    thread.set_registers(&before.registers)?;
    fail::point("isolate.call.returning");
    thread.cont(None)?;
    loop {
        let (thread, stop) = next_stop(tid)?;
        match stop {
            Stop::Signal(found) if found == signal => {
                thread.set_siginfo(&before.siginfo)?;
                thread.set_signal_mask(before.mask)?;
                return Ok(thread);
            }
            Stop::Signal(SigNo::STOP) => thread.cont(Some(SigNo::STOP))?,
            Stop::Group(_) | Stop::Trap => thread.cont(None)?,
            _ => return Err(Obstacle::Unexpected(stop)),
        }
    }
}

fn next_stop(tid: Tid) -> Result<(Stopped, Stop), Obstacle> {
    match wait::await_one(tid) {
        Some(Event::Stopped(thread, stop)) => Ok((thread, stop)),
        Some(Event::Ended(..)) | None => Err(PtraceError::Died(tid).into()),
    }
}

/// Whether the thread is inside a restartable sequence: the kernel has promised to send it to the sequence's abort
/// code if it is moved to another CPU meanwhile, and forgets that once it sees it elsewhere.
fn is_in_section(memory: &Memory, rseq: u64, pc: u64) -> bool {
    let word = |address: u64, offset: u64| memory.read_u64(address.checked_add(offset)?);
    let Some(section) = word(rseq, RSEQ_SECTION).filter(|address| *address != 0) else {
        return false;
    };
    match (word(section, SECTION_START), word(section, SECTION_LENGTH)) {
        (Some(start), Some(length)) => pc.wrapping_sub(start) < length,
        _ => false,
    }
}
