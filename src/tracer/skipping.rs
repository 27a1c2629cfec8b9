//! Whether the instruction that faulted can be stepped over.

use crate::diagnose::instruction::skipped;
use crate::isolate::inject::Failure;
use crate::isolate::skip::skip;
use crate::sys::memory::Memory;

use super::Tracer;
use super::hold::Held;
use super::throwing::Attempt;

/// Two of the longest instructions of x86-64, bytes: the one that faulted, and the one that follows.
const TWO_LONGEST: usize = 30;

impl Tracer {
    /// Puts a thread behind the instruction that faulted; says which that was.
    pub(super) fn skip(&mut self, held: Held) -> Attempt<String> {
        let memory = Memory::of(held.tid());
        let found = held
            .thread()
            .registers()
            .map_err(|error| error.to_string())
            .and_then(|registers| skipped(&memory.read_span(registers.pc(), TWO_LONGEST), &registers));
        let found = match found {
            Ok(found) => found,
            Err(why) => return Attempt::Refused(held, why),
        };
        let process = held.process();
        let skipping = held.lend(|thread, _| match skip(thread, process, &found.registers) {
            Ok(thread) => (Some(thread), Ok(())),
            Err(Failure { thread, reason }) => (thread, Err(reason.to_string())),
        });
        match skipping {
            Ok((held, Ok(()))) => {
                let text = &found.text;
                Attempt::Done(held, format!("`{text}` did nothing, and what it writes is zero"))
            }
            Ok((held, Err(why))) => Attempt::Refused(held, why),
            Err(walk) => Attempt::gone(walk),
        }
    }
}
