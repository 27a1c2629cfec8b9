//! The registers of one frame, as far as they are known.

use super::machine::{CALLEE_SAVED, FRAME_POINTER, PROGRAM_COUNTER, STACK_POINTER};
use crate::sys::regs::GeneralRegisters;

/// The general registers of a frame by their DWARF numbers. A function's caller has but some of its registers left:
/// those that calls do not preserve are unknown from there on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameRegisters {
    values: [u64; GeneralRegisters::DWARF_COUNT],
    known: u64,
}

impl FrameRegisters {
    /// Those of a frame of which nothing is known yet.
    pub(super) const UNKNOWN: Self = Self {
        values: [0; GeneralRegisters::DWARF_COUNT],
        known: 0,
    };

    /// Those of a stopped thread: all of them.
    pub fn of_thread(registers: &GeneralRegisters) -> Self {
        let mut all = Self::UNKNOWN;
        for number in 0..GeneralRegisters::DWARF_COUNT {
            if let Some(value) = registers.dwarf(number) {
                all.set(number, value);
            }
        }
        all
    }

    /// The value of the register with that DWARF number.
    pub fn get(&self, number: usize) -> Option<u64> {
        let value = *self.values.get(number)?;
        (self.known >> number & 1 == 1).then_some(value)
    }

    /// The values that are known.
    pub fn all(&self) -> impl Iterator<Item = u64> + '_ {
        (0..GeneralRegisters::DWARF_COUNT).filter_map(|number| self.get(number))
    }

    /// The program counter: of the innermost frame the next instruction, of its callers the return address.
    pub fn pc(&self) -> Option<u64> {
        self.get(PROGRAM_COUNTER)
    }

    /// The stack pointer.
    pub fn sp(&self) -> Option<u64> {
        self.get(STACK_POINTER)
    }

    /// The frame pointer's register, whatever the code uses it for.
    pub fn frame_pointer(&self) -> Option<u64> {
        self.get(FRAME_POINTER)
    }

    /// Puts all that is known into a thread's registers; what is unknown stays as it is there.
    pub fn apply_to(&self, registers: &mut GeneralRegisters) {
        for number in 0..GeneralRegisters::DWARF_COUNT {
            if let Some(value) = self.get(number) {
                registers.set_dwarf(number, value);
            }
        }
    }

    /// Sets a register; numbers that are not kept are passed over.
    pub(super) fn set(&mut self, number: usize, value: u64) {
        if let Some(place) = self.values.get_mut(number) {
            *place = value;
            self.known |= 1 << number;
        }
    }

    /// What a call leaves as it was.
    pub(super) fn callee_saved(&self) -> Self {
        let mut saved = Self::UNKNOWN;
        for number in CALLEE_SAVED {
            if let Some(value) = self.get(number) {
                saved.set(number, value);
            }
        }
        saved
    }

    /// Makes a register unknown.
    pub(super) fn forget(&mut self, number: usize) {
        if number < self.values.len() {
            self.known &= !(1 << number);
        }
    }
}
