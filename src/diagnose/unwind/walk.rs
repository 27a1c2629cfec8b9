//! The steps from a frame to its caller, until the stack ends.

use std::collections::HashMap;
use std::rc::Rc;

use gimli::UnwindContext;

use super::cache::TableCache;
use super::code::{Code, Owner, Range};
use super::ending::Beginnings;
use super::machine::{self, BEFORE_RETURN, TRAMPOLINE};
use super::registers::FrameRegisters;
use super::row::{Caller, Row, RowError};
use super::tables::Tables;
use super::{CallStack, FoundBy, Frame, FrameKind, FrameModule, MemorySource};
use crate::capture::ModuleFile;
use crate::capture::maps::Maps;
use crate::diagnose::elf::InMemory;
use crate::diagnose::{Image, ModuleSource};
use crate::sys::regs::GeneralRegisters;

/// Bytes of unwind table that are interpreted for one incident; a thousand deep threads of a large program take a
/// hundredth.
const MAX_INTERPRETED: usize = 64 << 20;
/// Steps of one stack to a frame at a lower address: changes between a thread's stacks, which are few.
const MAX_DESCENTS: usize = 64;
/// The most that lies between a frame's stack pointer and its frame pointer, bytes.
const MAX_FRAME: u64 = 64 << 20;

/// Why a call stack ends before the start of its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Truncation {
    /// The registers were not captured.
    #[error("the registers were not captured")]
    Registers,
    /// The stack goes on where nothing was captured.
    #[error("the memory at {0:#x}, where it goes on, was not captured")]
    Memory(u64),
    /// No way leads on from here.
    #[error("there is no unwind information for {0:#x}, and no frame pointer")]
    NoInformation(u64),
    /// The table of the last frame is damaged, or asks for what is not known.
    #[error("the unwind information for {0:#x} cannot be used")]
    Table(u64),
    /// The return address leads nowhere.
    #[error("the return address {0:#x} is not in executable memory")]
    ReturnAddress(u64),
    /// The next frame would be one that has been there.
    #[error("the stack leads back to itself at {0:#x}")]
    Circle(u64),
    /// As many as are followed.
    #[error("only the first {0} frames are followed")]
    Limit(usize),
    /// The tables of this process took too long to interpret.
    #[error("the unwind tables of this process are too costly to interpret")]
    Cost,
}

/// Unwinds the threads of one process as it was at one moment.
pub struct Unwinder<'a> {
    code: Code,
    pub(super) source: &'a dyn ModuleSource,
    cache: &'a mut TableCache,
    tables: HashMap<Owner, Rc<Tables>>,
    rows: HashMap<(Owner, u64), Option<Rc<Found>>, fnv::FnvBuildHasher>,
    context: UnwindContext<usize>,
    interpreted: usize,
    beginnings: HashMap<usize, Beginnings>,
    unreadable: Vec<(FrameModule, String)>,
}

/// A row, and the tables that its expressions are in.
struct Found {
    row: Row,
    tables: Rc<Tables>,
}

/// What a step led to.
pub(super) enum Step {
    Caller(FrameRegisters, FoundBy),
    /// The frame has no caller.
    Outermost,
}

impl<'a> Unwinder<'a> {
    /// For a process with that map and those modules, whose files are read through `source`.
    ///
    /// `vdso` are the bytes of the vdso, which has no file.
    pub fn new(
        maps: &Maps,
        modules: &[ModuleFile],
        vdso: Option<&[u8]>,
        source: &'a dyn ModuleSource,
        cache: &'a mut TableCache,
    ) -> Self {
        let mut tables = HashMap::new();
        let of_vdso = vdso.and_then(|bytes| {
            let source = InMemory(bytes);
            let image = Image::open(&source, 0).ok()?;
            Tables::read(&image).ok()
        });
        tables.extend(of_vdso.map(|found| (Owner::Vdso, Rc::new(found))));
        Self {
            code: Code::of(maps, modules),
            source,
            cache,
            tables,
            rows: HashMap::default(),
            context: UnwindContext::new(),
            interpreted: 0,
            beginnings: HashMap::new(),
            unreadable: Vec::new(),
        }
    }

    /// The frames of a thread that stopped with those registers; `limit` is the most that are followed.
    pub fn walk(
        &mut self,
        registers: &GeneralRegisters,
        memory: &dyn MemorySource,
        limit: usize,
    ) -> CallStack {
        let mut registers = FrameRegisters::of_thread(registers);
        let mut stack = CallStack::default();
        let mut found_by = FoundBy::Context;
        let mut descents = 0;
        loop {
            let frame = self.frame(&registers, found_by, memory);
            stack.frames.push(frame);
            if stack.frames.len() >= limit {
                stack.truncated = Some(Truncation::Limit(limit));
                return stack;
            }
            let (caller, by) = match self.step(&frame, &registers, memory) {
                Ok(Step::Caller(caller, by)) => (caller, by),
                Ok(Step::Outermost) => return stack,
                Err(truncation) => {
                    stack.truncated = (!self.begins(&frame)).then_some(truncation);
                    return stack;
                }
            };
            if by == FoundBy::SignalFrame
                && let Some(trampoline) = stack.frames.last_mut()
            {
                trampoline.kind = FrameKind::Signal;
            }
            let stays = caller.sp() == registers.sp();
            // A callee that pushed nothing and a signal on another stack are no descents.
            let descends = caller.sp() < registers.sp() || stays && found_by != FoundBy::Context;
            descents += usize::from(descends && by != FoundBy::SignalFrame);
            if descents > MAX_DESCENTS || stays && caller.pc() == registers.pc() {
                stack.truncated = Some(Truncation::Circle(frame.sp));
                return stack;
            }
            (registers, found_by) = (caller, by);
        }
    }

    /// Modules whose unwind tables were wanted and could not be read, with the reason.
    pub fn unreadable(&self) -> &[(FrameModule, String)] {
        &self.unreadable
    }

    /// What is known of a frame before its caller is looked for.
    pub(super) fn frame(
        &mut self,
        registers: &FrameRegisters,
        found_by: FoundBy,
        memory: &dyn MemorySource,
    ) -> Frame {
        let pc = registers.pc().unwrap_or_default();
        let mut frame = Frame {
            pc,
            sp: registers.sp().unwrap_or_default(),
            kind: FrameKind::Unknown,
            found_by,
            module: None,
            address: None,
        };
        if self.is_trampoline(pc, memory) {
            frame.kind = FrameKind::Signal;
        }
        let Some(range) = self.code.find(frame.lookup()).copied() else {
            return frame;
        };
        let tables = self.tables_of(range.owner);
        // Files that are mapped to be executed and are no ELF files hold what the process generated.
        frame.address = tables.and_then(|tables| tables.address_of(range.file_offset(pc)));
        frame.module = match range.owner {
            Owner::Module(module) => Some(FrameModule::File(module)),
            Owner::Vdso => Some(FrameModule::Vdso),
            Owner::Generated => None,
        };
        if frame.kind != FrameKind::Signal {
            frame.kind = match frame.address {
                Some(_) => FrameKind::Code,
                None => FrameKind::Generated,
            };
        }
        frame
    }

    pub(super) fn step(
        &mut self,
        frame: &Frame,
        registers: &FrameRegisters,
        memory: &dyn MemorySource,
    ) -> Result<Step, Truncation> {
        if frame.kind == FrameKind::Signal {
            return interrupted(frame.sp, memory);
        }
        let innermost = frame.is_interrupted();
        let Some(range) = self.code.find(frame.lookup()).copied() else {
            return match self.by_return_address(registers, memory) {
                Some(caller) if innermost => Ok(caller),
                _ => self.by_frame_pointer(frame, registers, memory),
            };
        };
        match self.row(&range, frame.lookup())? {
            Some(found) => self.by_row(&found, frame, registers, memory),
            None => {
                let is_module = range.owner != Owner::Generated;
                match self.by_return_address(registers, memory) {
                    Some(caller) if innermost && is_module => Ok(caller),
                    _ => self.by_frame_pointer(frame, registers, memory),
                }
            }
        }
    }

    fn by_row(
        &self,
        found: &Found,
        frame: &Frame,
        registers: &FrameRegisters,
        memory: &dyn MemorySource,
    ) -> Result<Step, Truncation> {
        let Found { row, tables } = found;
        match row.caller(tables, registers, memory) {
            Ok(Caller::None) => Ok(Step::Outermost),
            Ok(Caller::Frame { registers, .. }) => {
                let by = if row.signal {
                    FoundBy::SignalFrame
                } else {
                    FoundBy::Cfi
                };
                self.checked(registers, by)
            }
            Err(RowError::Memory(address)) => Err(Truncation::Memory(address)),
            Err(RowError::Register | RowError::Expression) => Err(Truncation::Table(frame.pc)),
        }
    }

    /// The word at the stack pointer, if a call has left it there.
    fn by_return_address(&self, registers: &FrameRegisters, memory: &dyn MemorySource) -> Option<Step> {
        let (mut caller, returns_to) = match machine::LINK_REGISTER {
            Some(link) => (registers.callee_saved(), registers.get(link)?),
            None => {
                let sp = registers.sp()?;
                let mut caller = registers.callee_saved();
                caller.set(machine::STACK_POINTER, sp.wrapping_add(8));
                (caller, memory.word(sp, 8)?)
            }
        };
        let returns_to = machine::plain_address(returns_to);
        caller.set(machine::PROGRAM_COUNTER, returns_to);
        self.follows_call(returns_to, memory)
            .then_some(Step::Caller(caller, FoundBy::ReturnAddress))
    }

    /// The caller's frame pointer and return address, where the frame pointer points to them: the same layout on all
    /// architectures that are supported.
    fn by_frame_pointer(
        &self,
        frame: &Frame,
        registers: &FrameRegisters,
        memory: &dyn MemorySource,
    ) -> Result<Step, Truncation> {
        let nowhere = Truncation::NoInformation(frame.pc);
        let at = registers.frame_pointer().ok_or(nowhere)?;
        let in_frame = at % 8 == 0 && at >= frame.sp && at - frame.sp <= MAX_FRAME;
        if !in_frame {
            return Err(nowhere);
        }
        let missing = Truncation::Memory(at);
        let previous = memory.word(at, 8).ok_or(missing)?;
        let returns_to = memory.word(at.wrapping_add(8), 8).ok_or(missing)?;
        let mut caller = FrameRegisters::UNKNOWN;
        caller.set(machine::FRAME_POINTER, previous);
        caller.set(machine::STACK_POINTER, at.wrapping_add(16));
        caller.set(machine::PROGRAM_COUNTER, machine::plain_address(returns_to));
        self.checked(caller, FoundBy::FramePointer)
    }

    /// A caller whose return address is code.
    fn checked(&self, caller: FrameRegisters, by: FoundBy) -> Result<Step, Truncation> {
        let pc = caller.pc().unwrap_or_default();
        // A signal may have interrupted a jump to nowhere.
        if by == FoundBy::SignalFrame || self.code.find(pc.wrapping_sub(1)).is_some() {
            Ok(Step::Caller(caller, by))
        } else {
            Err(Truncation::ReturnAddress(pc))
        }
    }

    fn row(&mut self, range: &Range, address: u64) -> Result<Option<Rc<Found>>, Truncation> {
        let key = (range.owner, range.file_offset(address));
        if let Some(known) = self.rows.get(&key) {
            return Ok(known.clone());
        }
        if self.interpreted > MAX_INTERPRETED {
            return Err(Truncation::Cost);
        }
        let found = self.tables_of(range.owner).and_then(|tables| {
            let address = tables.address_of(key.1)?;
            let row = Row::find(&tables, address, &mut self.context)?;
            self.interpreted += row.cost;
            Some(Rc::new(Found { row, tables }))
        });
        self.rows.insert(key, found.clone());
        Ok(found)
    }

    pub(super) fn tables_of(&mut self, owner: Owner) -> Option<Rc<Tables>> {
        if let Some(known) = self.tables.get(&owner) {
            return Some(Rc::clone(known));
        }
        let Owner::Module(module) = owner else {
            return None;
        };
        let tables = self.cache.tables(self.source, module).unwrap_or_else(|error| {
            self.unreadable
                .push((FrameModule::File(module), error.to_string()));
            Rc::new(Tables::none())
        });
        self.tables.insert(owner, Rc::clone(&tables));
        Some(tables)
    }

    /// Whether nothing calls the function of a frame.
    fn begins(&mut self, frame: &Frame) -> bool {
        let (Some(FrameModule::File(module)), Some(address)) = (frame.module, frame.address) else {
            return false;
        };
        let beginnings = self
            .beginnings
            .entry(module)
            .or_insert_with(|| Beginnings::read(self.source, module));
        let behind_call = u64::from(!frame.is_interrupted());
        beginnings.contain(address.wrapping_sub(behind_call))
    }

    fn is_trampoline(&mut self, pc: u64, memory: &dyn MemorySource) -> bool {
        let Some(range) = self.code.find(pc).copied() else {
            return false;
        };
        let tables = self.tables_of(range.owner);
        let look = || {
            let bytes = self.code_bytes::<TRAMPOLINE>(pc, memory)?;
            Some(machine::is_signal_trampoline(&bytes))
        };
        match tables {
            Some(tables) => tables.is_trampoline(range.file_offset(pc), look),
            None => look().unwrap_or(false),
        }
    }

    fn follows_call(&self, address: u64, memory: &dyn MemorySource) -> bool {
        let before = address.wrapping_sub(BEFORE_RETURN as u64);
        match self.code_bytes::<BEFORE_RETURN>(before, memory) {
            Some(bytes) => machine::follows_call(&bytes),
            None => self.code.find(address.wrapping_sub(1)).is_some(),
        }
    }

    /// Bytes of code, from the module's file or else from memory.
    fn code_bytes<const N: usize>(&self, address: u64, memory: &dyn MemorySource) -> Option<[u8; N]> {
        let range = self.code.find(address)?;
        let mut bytes = [0; N];
        if let Owner::Module(module) = range.owner {
            let read = self
                .source
                .read_at(module, range.file_offset(address), &mut bytes);
            return read.is_ok_and(|read| read == N).then_some(bytes);
        }
        for (at, byte) in (0_u64..).zip(&mut bytes) {
            *byte = memory.word(address.wrapping_add(at), 1)?.to_le_bytes()[0];
        }
        Some(bytes)
    }
}

impl Frame {
    /// The address that decides which code the frame is in.
    fn lookup(&self) -> u64 {
        if self.is_interrupted() {
            self.pc
        } else {
            self.pc.wrapping_sub(1)
        }
    }
}

/// What a signal interrupted, from the registers that the kernel saved below a trampoline's frame.
fn interrupted(sp: u64, memory: &dyn MemorySource) -> Result<Step, Truncation> {
    let mut registers = FrameRegisters::UNKNOWN;
    for (number, address) in machine::interrupted(sp) {
        let value = memory.word(address, 8).ok_or(Truncation::Memory(address))?;
        registers.set(number, value);
    }
    Ok(Step::Caller(registers, FoundBy::SignalFrame))
}
