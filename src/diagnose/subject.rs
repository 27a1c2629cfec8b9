//! What is examined: siginfo, registers, code and memory of one stop, found in a capture.
//!
//! Usually that is the fatal signal. Where the program's own handler took a hardware fault first and then let the
//! process die of the same signal, it is that first fault: the second says only that a handler gave up.

use super::instruction::{self, Instruction};
use super::unwind::MemorySource;
use crate::capture::maps::Maps;
use crate::capture::{Capture, FaultFacts, MemoryRange, Precursor, Purpose};
use crate::sys::regs::{GeneralRegisters, MACHINE};
use crate::sys::signal::{SI_KERNEL, SigInfo};
use crate::sys::{SigNo, Tid};

/// The longest instruction of any architecture that is decoded, bytes.
const MAX_INSTRUCTION: usize = 15;
/// The byte of x86-64's `int3`.
const INT3: u64 = 0xcc;

/// One stop, as far as it was captured.
pub(super) struct Subject<'a> {
    pub(super) tid: Tid,
    pub(super) signal: SigNo,
    pub(super) info: Option<SigInfo>,
    pub(super) registers: Option<GeneralRegisters>,
    pub(super) instruction: Option<Instruction>,
    /// The word at the stack pointer.
    pub(super) top_of_stack: Option<u64>,
    pub(super) maps: &'a Maps,
}

/// Captured memory, by address.
pub(super) struct Memory<'a> {
    ranges: Vec<(u64, &'a [u8])>,
}

impl<'a> Subject<'a> {
    /// The fatal signal itself.
    pub(super) fn fatal(capture: &Capture, fault: &FaultFacts, maps: &'a Maps) -> Self {
        let thread = capture.faulting();
        let registers = thread.and_then(|thread| capture.registers(thread)?.ok());
        Self::new(
            capture,
            maps,
            fault.tid,
            fault.signal,
            capture.siginfo(),
            registers,
            &Purpose::Code,
        )
    }

    /// The fault that the program's handler took before.
    pub(super) fn precursor(capture: &Capture, precursor: &Precursor, maps: &'a Maps) -> Self {
        let info = SigInfo::from_bytes(capture.get(precursor.siginfo));
        let registers = GeneralRegisters::from_bytes(capture.get(precursor.general)).ok();
        let code = &Purpose::PrecursorCode;
        Self::new(
            capture,
            maps,
            precursor.tid,
            precursor.signal,
            info,
            registers,
            code,
        )
    }

    fn new(
        capture: &Capture,
        maps: &'a Maps,
        tid: Tid,
        signal: SigNo,
        info: Option<SigInfo>,
        registers: Option<GeneralRegisters>,
        code: &Purpose,
    ) -> Self {
        let memory = Memory::of(capture);
        let sp = registers.as_ref().map(GeneralRegisters::sp);
        let instruction = registers.as_ref().and_then(|registers| {
            let at = instruction_address(registers.pc(), signal, info, &memory);
            decode(capture, registers, at, code, &memory)
        });
        Self {
            tid,
            signal,
            info,
            instruction,
            top_of_stack: sp.and_then(|sp| memory.word(sp, 8)),
            registers,
            maps,
        }
    }

    /// `si_code`; 0 where siginfo is missing.
    pub(super) fn code(&self) -> i32 {
        self.info.map_or(0, |info| info.code())
    }

    /// `si_addr`, where the kernel gives one.
    pub(super) fn address(&self) -> Option<u64> {
        self.info?.address()
    }

    /// The program counter.
    pub(super) fn pc(&self) -> Option<u64> {
        self.registers.as_ref().map(GeneralRegisters::pc)
    }

    /// The stack pointer.
    pub(super) fn sp(&self) -> Option<u64> {
        self.registers.as_ref().map(GeneralRegisters::sp)
    }
}

impl<'a> Memory<'a> {
    /// Memory in ranges of address and bytes; where they overlap, the first that holds all of it wins.
    pub(super) fn new(ranges: Vec<(u64, &'a [u8])>) -> Self {
        Self { ranges }
    }

    /// The stacks and memory ranges of a capture.
    pub(super) fn of(capture: &'a Capture) -> Self {
        let stacks = capture.facts.threads.iter().filter_map(|thread| thread.stack);
        let stacks = stacks.map(|stack| (stack.start, capture.get(stack.data)));
        let others = capture.facts.memory.iter();
        let others = others.map(|range| (range.start, capture.get(range.data)));
        Self::new(stacks.chain(others).collect())
    }

    /// The captured bytes from an address on, as far as the range that holds it goes.
    pub(super) fn bytes(&self, address: u64) -> Option<&'a [u8]> {
        self.ranges
            .iter()
            .find_map(|(start, bytes)| tail(*start, bytes, address))
    }

    /// A little-endian value of up to 8 bytes.
    pub(super) fn word(&self, address: u64, size: usize) -> Option<u64> {
        let bytes = self
            .ranges
            .iter()
            .find_map(|(start, bytes)| tail(*start, bytes, address)?.get(..size.min(8)))?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte)),
        )
    }
}

impl MemorySource for Memory<'_> {
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        Memory::word(self, address, size)
    }
}

/// Where the instruction is that a signal is about: at the program counter, but for x86-64's `int3`, which has been
/// executed already.
fn instruction_address(pc: u64, signal: SigNo, info: Option<SigInfo>, memory: &Memory<'_>) -> u64 {
    let before = pc.wrapping_sub(1);
    let breakpoint = signal == SigNo::TRAP && info.is_some_and(|info| info.code() == SI_KERNEL);
    if MACHINE == "x86_64" && breakpoint && memory.word(before, 1) == Some(INT3) {
        before
    } else {
        pc
    }
}

/// The instruction at an address, from the memory that was copied for it, or else any that holds it.
fn decode(
    capture: &Capture,
    registers: &GeneralRegisters,
    at: u64,
    purpose: &Purpose,
    memory: &Memory<'_>,
) -> Option<Instruction> {
    let holds = |range: &&MemoryRange| range.purpose == *purpose;
    let bytes = |range: &MemoryRange| tail(range.start, capture.get(range.data), at);
    let code = capture.facts.memory.iter().filter(holds).find_map(bytes);
    let code = code.or_else(|| memory.bytes(at))?;
    let code = code.get(..MAX_INSTRUCTION.min(code.len()))?;
    let context = instruction::Context { registers, memory };
    instruction::decode(code, at, &context)
}

/// The part of a range from an address on; none if the address lies outside.
fn tail(start: u64, bytes: &[u8], address: u64) -> Option<&[u8]> {
    let offset = usize::try_from(address.checked_sub(start)?).ok()?;
    bytes.get(offset..).filter(|bytes| !bytes.is_empty())
}
