//! From one frame to its caller by call frame information (DWARF 5, section 6.4): the row of the unwind table that
//! belongs to an address, and the caller's registers by that row.
//!
//! gimli parses tables, rows and expressions. Expressions are evaluated under a limit, with the captured stack as
//! memory; framehop was tried in place of this and is left out: it does not limit expressions (a table with a loop
//! would hang a tracer), restores no callee-saved registers but the frame pointer, evaluates no `DW_OP_deref`, and
//! does not tell the table's end of a stack from a guess.

use gimli::{
    CfaRule, Encoding, Evaluation, EvaluationResult, Location, RegisterRule, UnwindContext, UnwindExpression,
    Value,
};

use super::MemorySource;
use super::machine::{LINK_REGISTER, PROGRAM_COUNTER, STACK_POINTER, plain_address};
use super::registers::FrameRegisters;
use super::tables::{Slice, Tables, UnwindData};

/// Operations of one expression; those that compilers write have about ten.
const MAX_OPERATIONS: u32 = 1_000;

/// A row of an unwind table, and what its entry says of the function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    cfa: CfaRule<usize>,
    rules: Vec<(usize, RegisterRule<usize>)>,
    return_address: usize,
    encoding: Encoding,
    /// Whether the function is a signal trampoline: the caller is what it interrupted.
    pub(super) signal: bool,
    /// Bytes of table that were interpreted for it.
    pub(super) cost: usize,
}

/// What a row says of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    /// There is one.
    Frame {
        registers: FrameRegisters,
        /// The canonical frame address: the stack pointer before the call.
        cfa: u64,
    },
    /// The table says that there is none: the return address is undefined.
    None,
}

/// Why a row did not lead to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("its frame address depends on a register that is not known")]
    Register,
    #[error("the memory at {0:#x} was not captured")]
    Memory(u64),
    #[error("its unwind table cannot be evaluated")]
    Expression,
}

impl Row {
    /// The row for an address in the file's own numbering.
    pub(super) fn find(tables: &Tables, address: u64, context: &mut UnwindContext<usize>) -> Option<Self> {
        let entry = tables.find(address)?;
        let bases = tables.bases();
        let row = match tables.data() {
            UnwindData::EhFrame(section) => entry.unwind_info_for_address(&section, &bases, context, address),
            UnwindData::DebugFrame(section) => {
                entry.unwind_info_for_address(&section, &bases, context, address)
            }
        };
        let row = row.ok()?;
        Some(Self {
            cfa: row.cfa().clone(),
            rules: row
                .registers()
                .map(|(register, rule)| (usize::from(register.0), rule.clone()))
                .collect(),
            return_address: usize::from(entry.cie().return_address_register().0),
            encoding: entry.cie().encoding(),
            signal: entry.is_signal_trampoline(),
            cost: entry.entry_len().saturating_add(entry.cie().entry_len()),
        })
    }

    /// The caller of the frame with those registers.
    pub(super) fn caller(
        &self,
        tables: &Tables,
        registers: &FrameRegisters,
        memory: &dyn MemorySource,
    ) -> Result<Caller, RowError> {
        let machine = Machine {
            row: self,
            tables,
            registers,
            memory,
        };
        let cfa = match &self.cfa {
            CfaRule::RegisterAndOffset { register, offset } => registers
                .get(usize::from(register.0))
                .ok_or(RowError::Register)?
                .wrapping_add_signed(*offset),
            CfaRule::Expression(expression) => machine.evaluate(expression, None)?,
        };
        let mut caller = if self.signal {
            *registers
        } else {
            registers.callee_saved()
        };
        caller.set(STACK_POINTER, cfa);
        for (number, rule) in &self.rules {
            match machine.value(*number, rule, cfa) {
                Ok(Some(value)) => caller.set(*number, value),
                Ok(None) => caller.forget(*number),
                Err(error) if *number == self.return_address => return Err(error),
                Err(_) => caller.forget(*number),
            }
        }
        let is_return = |(number, _): &&(usize, _)| *number == self.return_address;
        let return_address = match self.rules.iter().find(is_return) {
            Some((_, RegisterRule::Undefined)) => return Ok(Caller::None),
            Some(_) => caller.get(self.return_address),
            // Nothing is said of it: it is still where the call left it.
            None if LINK_REGISTER == Some(self.return_address) => registers.get(self.return_address),
            None => return Ok(Caller::None),
        };
        let return_address = return_address.ok_or(RowError::Register)?;
        caller.set(PROGRAM_COUNTER, plain_address(return_address));
        Ok(Caller::Frame {
            registers: caller,
            cfa,
        })
    }
}

/// What expressions work on.
struct Machine<'a> {
    row: &'a Row,
    tables: &'a Tables,
    registers: &'a FrameRegisters,
    memory: &'a dyn MemorySource,
}

impl Machine<'_> {
    /// A register of the caller; none where the function destroyed it.
    fn value(&self, number: usize, rule: &RegisterRule<usize>, cfa: u64) -> Result<Option<u64>, RowError> {
        match rule {
            RegisterRule::SameValue => Ok(self.registers.get(number)),
            RegisterRule::Offset(offset) => self.word(cfa.wrapping_add_signed(*offset)).map(Some),
            RegisterRule::ValOffset(offset) => Ok(Some(cfa.wrapping_add_signed(*offset))),
            RegisterRule::Register(other) => Ok(self.registers.get(usize::from(other.0))),
            RegisterRule::Expression(expression) => {
                let address = self.evaluate(expression, Some(cfa))?;
                self.word(address).map(Some)
            }
            RegisterRule::ValExpression(expression) => self.evaluate(expression, Some(cfa)).map(Some),
            RegisterRule::Constant(value) => Ok(Some(*value)),
            _ => Ok(None),
        }
    }

    fn word(&self, address: u64) -> Result<u64, RowError> {
        self.memory.word(address, 8).ok_or(RowError::Memory(address))
    }

    /// The value of an expression; for a register's rule the frame address is its first operand.
    fn evaluate(&self, expression: &UnwindExpression<usize>, first: Option<u64>) -> Result<u64, RowError> {
        let code = match self.tables.data() {
            UnwindData::EhFrame(section) => expression.get(&section),
            UnwindData::DebugFrame(section) => expression.get(&section),
        };
        let code = code.map_err(|_| RowError::Expression)?;
        let mut evaluation: Evaluation<Slice<'_>> = code.evaluation(self.row.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(value) = first {
            evaluation.set_initial_value(value);
        }
        let mut state = evaluation.evaluate();
        loop {
            state = match state.map_err(|_| RowError::Expression)? {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self
                        .registers
                        .get(usize::from(register.0))
                        .ok_or(RowError::Register)?;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let value = self.memory.word(address, usize::from(size));
                    evaluation.resume_with_memory(Value::Generic(value.ok_or(RowError::Memory(address))?))
                }
                _ => return Err(RowError::Expression),
            };
        }
        match evaluation.as_result().last().map(|piece| &piece.location) {
            Some(Location::Address { address }) => Ok(*address),
            _ => Err(RowError::Expression),
        }
    }
}
