//! The call stacks of all threads of a capture.

use super::{CallStack, FrameModule, MemorySource, TableCache, Truncation, Unwinder};
use crate::capture::maps::Maps;
use crate::capture::{Capture, Purpose};
use crate::diagnose::ModuleSource;
use crate::diagnose::subject::Memory;

/// Frames of the faulting thread that are followed: as many as a stack overflow leaves in a captured stack.
const MAX_FAULTING: usize = 64 << 10;
/// Frames of any other thread that are followed.
const MAX_OTHER: usize = 1 << 10;
/// Frames of all threads together that are followed.
const MAX_FRAMES: usize = 1 << 20;

/// What unwinding a capture found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallStacks {
    /// The stack of each thread, in the order of [`Facts::threads`](crate::capture::Facts::threads).
    pub threads: Vec<CallStack>,
    /// Modules whose unwind tables could not be read, with the reason.
    pub unreadable: Vec<(FrameModule, String)>,
}

/// Unwinds every thread of a capture.
pub fn call_stacks(capture: &Capture, source: &dyn ModuleSource, cache: &mut TableCache) -> CallStacks {
    let facts = &capture.facts;
    let maps = Maps::of(capture);
    let vdso = facts.memory.iter().find(|range| range.purpose == Purpose::Vdso);
    let vdso = vdso.map(|range| capture.get(range.data));
    let mut unwinder = Unwinder::new(&maps, &facts.modules, vdso, source, cache);
    let everything = Memory::of(capture);
    let faulting = facts.fault.as_ref().map(|fault| fault.tid);
    let mut left = MAX_FRAMES;
    let mut threads = Vec::with_capacity(facts.threads.len());
    for thread in &facts.threads {
        let limit = if Some(thread.tid) == faulting {
            MAX_FAULTING
        } else {
            MAX_OTHER
        };
        let own = thread.stack.map(|stack| (stack.start, capture.get(stack.data)));
        let memory = ThreadMemory {
            own: Memory::new(own.into_iter().collect()),
            everything: &everything,
        };
        let stack = match capture.registers(thread) {
            Some(Ok(registers)) => unwinder.walk(&registers, &memory, limit.min(left)),
            _ => CallStack {
                frames: Vec::new(),
                truncated: Some(Truncation::Registers),
            },
        };
        left -= stack.frames.len().min(left);
        threads.push(stack);
    }
    let unreadable = unwinder.unreadable().to_vec();
    CallStacks { threads, unreadable }
}

/// A thread's own stack first, for speed, and then everything that was captured: a frame may lie on another stack.
struct ThreadMemory<'a> {
    own: Memory<'a>,
    everything: &'a Memory<'a>,
}

impl MemorySource for ThreadMemory<'_> {
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        self.own
            .word(address, size)
            .or_else(|| self.everything.word(address, size))
    }
}
