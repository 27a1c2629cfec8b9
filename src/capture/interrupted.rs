//! The stacks that signal handlers on alternate stacks interrupted (sigaltstack(2)).
//!
//! A thread in such a handler has its stack pointer in the alternate stack, so that a copy from there holds the
//! handler's calls only, and not what led to the signal: the part that a crash is about. The kernel leaves the
//! interrupted stack pointer in the frame that it builds for the handler, beside the bounds of the alternate stack,
//! by which such frames are told from other words: they name the very stack that they lie on.

use crate::config::ReportOptions;
use crate::sys::memory::{Memory, Span};
use crate::sys::regs::signal_frame;

use super::maps::Maps;
use super::memory::stack_span;
use super::{Blob, Capture, MemoryRange, Purpose, StackRange};

/// Signal frames of one stack whose interrupted stacks are copied: more than one where an alternate stack is left and
/// entered again.
const MAX_FRAMES: usize = 4;

impl Capture {
    /// Copies the interrupted stacks of the threads whose stacks have been copied, the faulting one first.
    pub(super) fn copy_interrupted_stacks(&mut self, memory: &Memory, maps: &Maps, options: &ReportOptions) {
        let stacks = self.facts.threads.iter().filter_map(|thread| thread.stack);
        let mut budget = options.memory.0;
        let mut wanted = Vec::new();
        for (order, stack) in stacks.enumerate() {
            budget = budget.saturating_sub(stack.data.len);
            let cap = if order == 0 {
                options.fault_stack.0
            } else {
                options.thread_stack.0
            };
            wanted.extend(self.interrupted_by(&stack).into_iter().map(|sp| (sp, cap)));
        }
        let mut spans: Vec<Span> = Vec::new();
        for (sp, cap) in wanted {
            if let Some((_, span)) = stack_span(maps, sp, cap.min(budget)) {
                budget -= span.len as u64;
                spans.push(span);
            }
        }
        let mut offset = self.bytes.len() as u64;
        let sizes = memory.read(&spans, &mut self.bytes);
        for (span, size) in spans.into_iter().zip(sizes) {
            let len = size as u64;
            self.facts.memory.push(MemoryRange {
                purpose: Purpose::InterruptedStack,
                start: span.start,
                data: Blob { offset, len },
            });
            offset += len;
        }
    }

    /// The stack pointers that the handlers on a stack interrupted, where those lie outside of it.
    fn interrupted_by(&self, stack: &StackRange) -> Vec<u64> {
        let bytes = self.get(stack.data);
        let places = (0..bytes.len()).step_by(8);
        let found = places.filter_map(|at| {
            signal_frame::interrupted_stack_pointer(bytes.get(at..)?, stack.start + at as u64)
        });
        let copied = stack.start..stack.start + stack.data.len;
        found.filter(|sp| !copied.contains(sp)).take(MAX_FRAMES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ThreadFacts;
    use crate::sys::Tid;

    #[test]
    fn our_own_memory_is_copied_where_a_frame_points_to_it() {
        let interrupted = [0x77_u8; 256];
        let target = interrupted.as_ptr() as u64;
        let start = 0x7000_0000_1000;
        let mut bytes = vec![0xff; 64];
        bytes.extend(signal_frame::made(start - 0x1000, 0x4000, target));
        let mut capture = Capture::default();
        let data = capture.keep(&bytes);
        let stack = StackRange {
            pointer: start,
            low: start - 0x1000,
            high: start + 0x3000,
            start,
            data,
        };
        assert_eq!(capture.interrupted_by(&stack), [target]);
        let elsewhere = StackRange {
            start: start + 0x10_0000,
            ..stack
        };
        assert_eq!(
            capture.interrupted_by(&elsewhere),
            Vec::<u64>::new(),
            "it does not name the stack that it lies on"
        );
        capture.facts.threads.push(ThreadFacts {
            stack: Some(stack),
            ..ThreadFacts::new(Tid(1))
        });
        let own = std::process::id() as i32;
        let maps = Maps::parse(&std::fs::read("/proc/self/maps").unwrap());
        capture.copy_interrupted_stacks(&Memory::of(Tid(own)), &maps, &ReportOptions::default());
        let range = &capture.facts.memory[0];
        assert_eq!(range.purpose, Purpose::InterruptedStack);
        let at = (target - range.start) as usize;
        assert_eq!(
            capture.get(range.data).get(at..at + 256),
            Some(interrupted.as_slice())
        );
    }
}
