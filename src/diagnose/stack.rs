//! Is it a stack overflow?
//!
//! The kernel reports a plain SIGSEGV. What gives an overflow away is that the address belongs to the frame that
//! the thread works on (it is close to the stack pointer) and lies in the guard or the gap below a stack. Both
//! must hold: a wild pointer may hit a guard, and a deep but healthy stack is close to its end all the time.

use super::address_space::Mapping;
use super::subject::Subject;

/// How far below the stack pointer code may reach: the red zone (128 bytes) and one more push.
const BELOW_POINTER: u64 = 256;
/// The largest frame that is still taken for one: the distance from the stack pointer up to the address, and from
/// the address up to the stack.
const MAX_FRAME: u64 = 16 << 20;
/// Inaccessible mappings in a row that may lie between an address and the stack above it.
const MAX_GUARDS: usize = 4;

/// The stack that an access to `address` ran out of.
pub(super) fn overflowed<'a>(subject: &Subject<'a>, address: u64) -> Option<&'a Mapping> {
    let sp = subject.sp()?;
    let in_frame = address >= sp.saturating_sub(BELOW_POINTER) && address <= sp.saturating_add(MAX_FRAME);
    if !in_frame
        || subject
            .space
            .find(address)
            .is_some_and(|at| !at.is_inaccessible())
    {
        return None;
    }
    let mut stack = subject.space.above(address)?;
    for _ in 0..MAX_GUARDS {
        if stack.is_inaccessible() {
            stack = subject.space.above(stack.low)?;
        }
    }
    let is_stack = stack.write && !stack.is_file() && stack.name != "[heap]";
    (is_stack && stack.low - address <= MAX_FRAME && sp < stack.high).then_some(stack)
}

/// A stack for a sentence: "the stack of 8192 KiB at 0x7ffc00000000".
pub(super) fn described(stack: &Mapping) -> String {
    format!(
        "the stack of {} KiB at {:#x}",
        (stack.high - stack.low) >> 10,
        stack.low
    )
}
