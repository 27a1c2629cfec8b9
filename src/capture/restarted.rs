//! Calls that go on after an interruption: restart_syscall(2) has the arguments of the call and not its number, which
//! the code in front of the program counter tells.

use crate::sys::memory::{Memory, Span};
use crate::sys::regs::{CALL_SITE, GeneralRegisters, call_before};

use super::Capture;

impl Capture {
    /// Notes which call the threads are in that go on with one.
    pub(super) fn note_restarted_calls(&mut self, memory: &Memory, threads: &[(usize, GeneralRegisters)]) {
        let restarted = threads
            .iter()
            .filter(|(_, registers)| registers.system_call().is_some_and(|call| call.is_restart()));
        let (places, spans): (Vec<usize>, Vec<Span>) = restarted
            .map(|(place, registers)| (*place, code_before(registers.pc())))
            .unzip();
        let mut code = Vec::new();
        let sizes = memory.read(&spans, &mut code);
        let mut at = 0;
        for (place, size) in places.into_iter().zip(sizes) {
            self.facts.threads[place].restarted = call_before(&code[at..at + size]);
            at += size;
        }
    }
}

fn code_before(pc: u64) -> Span {
    Span {
        start: pc.saturating_sub(CALL_SITE as u64),
        len: CALL_SITE,
    }
}
