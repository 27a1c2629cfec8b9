//! Is it a stack overflow?
//!
//! The kernel reports a plain SIGSEGV. What gives an overflow away is that the address belongs to the frame that
//! the thread works on (it is close to the stack pointer) and lies in the guard or the gap below a stack. Both
//! must hold: a wild pointer may hit a guard, and a deep but healthy stack is close to its end all the time.

use super::subject::Subject;
use crate::capture::maps::Mapping;

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
    if !in_frame || subject.maps.find(address).is_some_and(|at| !at.is_inaccessible()) {
        return None;
    }
    let mut stack = subject.maps.above(address)?;
    for _ in 0..MAX_GUARDS {
        if stack.is_inaccessible() {
            stack = subject.maps.above(stack.low)?;
        }
    }
    let is_stack = stack.writable && !stack.is_file() && stack.name != "[heap]";
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

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use crate::diagnose::sample::{LOAD, PUSH, segv};
    use crate::diagnose::{Access, Cause};

    #[test]
    fn a_stack_overflow_is_in_the_frame_and_in_the_guard() {
        let low = 0x7f00_0000_1000;
        let pushed = |sp: u64| segv(2, sp - 8).with("rsp", sp).code(PUSH);
        let thread = pushed(low).told();
        assert_eq!((thread.0, thread.1), (Cause::StackOverflow, Some(Access::Write)));
        assert!(
            thread.2.contains("the stack of 64 KiB at 0x7f0000001000"),
            "{}",
            thread.2
        );
        let main = segv(1, 0x7ffb_ffff_fff8).with("rsp", 0x7ffc_0000_0000).code(PUSH);
        assert_eq!(main.cause(), Cause::StackOverflow);
        let large_frame = segv(1, 0x7ffb_ffff_0010).with("rsp", 0x7ffb_fff0_0000);
        assert_eq!(large_frame.cause(), Cause::StackOverflow);
        let handler_failed = segv(0x80, 0).with("rsp", low).code(PUSH);
        assert_eq!(handler_failed.cause(), Cause::StackOverflow);
        let wild_into_guard = segv(2, low - 8)
            .with("rsp", low + 0x8000)
            .with("rdi", low - 8)
            .code(LOAD);
        assert_eq!(
            wild_into_guard.cause(),
            Cause::ProtectedAccess,
            "the frame is elsewhere"
        );
        let wild_below_heap = segv(1, 0xff_fff8).with("rsp", 0x100_0000).code(PUSH);
        assert_eq!(
            wild_below_heap.cause(),
            Cause::UnmappedAccess,
            "the heap is no stack"
        );
    }
}
