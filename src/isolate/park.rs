//! `park`: the thread sleeps in the kernel for good, and goes on sleeping when its supervisor has gone.
//!
//! It waits on a futex in code of the C library, a word that never changes and that nobody wakes. All signals are
//! blocked but those of the C library itself: with these it takes part in setuid(3) and its kin, which wait for every
//! thread of the process. futex(2) goes on waiting after their handlers, as it does after a stop and a continuation.
//!
//! # Waking one
//!
//! A parked thread can be given the signal that it was parked for, where what it was like then is known ([`wake`]).
//! The signal is sent to it first, which it does not notice: it is blocked. Then it is unblocked, and then the thread
//! has its registers again; so if we end in between, it sleeps on, or takes that signal where it sleeps, or where it was.
//! Its floating point registers need no care: the kernel has kept them in its sleep.
//!
//! Tried and left: pause(2) ends with the first handler; a loop of our own needs a page of code mapped into the
//! process, which hardened programs refuse.

use crate::capture::maps::{Maps, is_musl};
use crate::sys::memory::Memory;
use crate::sys::process::bit;
use crate::sys::ptrace::Stopped;
use crate::sys::regs::SystemCall;
use crate::sys::signal::send_to_thread;
use crate::sys::{Pid, SigNo, fail};

use super::inject::{Call, Context, Failure, Obstacle, come_back, status};
use super::landing::Landing;
use super::sites::Sites;

/// What the C libraries use among themselves: glibc 32 for cancellation and 33 for set*id, musl 34 for the latter.
const GLIBC_SIGNALS: [SigNo; 2] = [SigNo(32), SigNo(33)];
const MUSL_SIGNALS: [SigNo; 3] = [SigNo(32), SigNo(33), SigNo(34)];
/// How it is waited for.
const WAIT: u64 = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as u64;
/// What their handlers need of the stack: a signal frame with all vector registers, and a little beyond it.
const ROOM: u64 = 64 << 10;

/// Puts a thread that stands in front of its signal in front of a sleep without end instead. It takes effect when the
/// thread is let go on without the signal. The registers come before the mask, which would hold the signal back: if we
/// end in between, the thread takes its signal, and from then on it sleeps. Returns what the thread was like.
pub fn prepare(thread: &Stopped, sites: &Sites, maps: &Maps) -> Result<Context, Obstacle> {
    if status(thread)?.seccomp_filter {
        return Err(Obstacle::Filtered);
    }
    let before = Context::of(thread)?;
    let registers = &before.registers;
    let memory = Memory::of(thread.tid());
    let value = read_word(&memory, word(sites)).ok_or(Obstacle::NoStack)?;
    let sp = stack_with_room(maps, registers.sp()).ok_or(Obstacle::NoStack)?;
    let landing = Landing::below(registers, sp, before.mask, &memory, sites);
    if !landing.has_stack() {
        return Err(Obstacle::NoStack);
    }
    let call = Call {
        number: libc::SYS_futex,
        args: [word(sites), WAIT, u64::from(value), 0, 0, 0],
    };
    thread.set_registers(&landing.registers(registers, call))?;
    fail::point("isolate.park.sent");
    thread.set_signal_mask(mask(maps))?;
    Ok(before)
}

/// Whether a thread seems to be parked, by the system call that it waits in: nobody else waits for a word of code.
pub fn seems_asleep(call: &SystemCall, sites: &Sites) -> bool {
    call.number == libc::SYS_futex as u64 && call.args[..2] == [word(sites), WAIT] && call.args[3] == 0
}

/// Whether a stopped thread is one that is parked, whoever has parked it, and in no handler.
pub fn check(thread: &Stopped, sites: &Sites, maps: &Maps) -> Result<(), Obstacle> {
    let sleeps = thread
        .registers()?
        .system_call()
        .is_some_and(|call| seems_asleep(&call, sites));
    if sleeps && thread.signal_mask()? == mask(maps) & !(bit(SigNo::KILL) | bit(SigNo::STOP)) {
        Ok(())
    } else {
        Err(Obstacle::NotAsleep)
    }
}

/// Puts a parked thread, in a stop that holds no signal, in front of the signal that it was parked for.
///
/// Waits for that stop; the caller bounds it with a [`Deadline`](crate::sys::deadline::Deadline).
pub fn wake(thread: Stopped, process: Pid, before: &Context) -> Result<Stopped, Failure> {
    if let Err(error) = send_to_thread(process, thread.tid(), before.siginfo.signal()) {
        return Err(Failure::of(thread, Obstacle::NotSent(error)));
    }
    fail::point("isolate.park.signalled");
    come_back(thread, before).map_err(|reason| Failure { thread: None, reason })
}

/// The word that a parked thread waits for.
fn word(sites: &Sites) -> u64 {
    sites.system_call & !3
}

/// Every signal but the C library's own.
fn mask(maps: &Maps) -> u64 {
    let musl = maps.iter().any(|mapping| is_musl(&mapping.name));
    let own: &[SigNo] = if musl { &MUSL_SIGNALS } else { &GLIBC_SIGNALS };
    !own.iter().fold(0, |mask, signal| mask | bit(*signal))
}

/// A stack pointer with room below it: the thread's own, or one further up where it has used its stack up. What lies
/// there is never returned to.
fn stack_with_room(maps: &Maps, sp: u64) -> Option<u64> {
    let stack = maps.stack_of(sp)?;
    let lowest = stack.low.checked_add(ROOM)?;
    (lowest < stack.high).then_some(sp.max(lowest))
}

fn read_word(memory: &Memory, address: u64) -> Option<u32> {
    Some(u32::from_ne_bytes(memory.read_span(address, 4).try_into().ok()?))
}
