//! The outer frames of one thread with all registers that their callees preserved, for those who want to go on in
//! one of them: resume a caller with a value, or raise an exception there.
//!
//! Only steps that restore every callee-saved register count: unwind tables and signal frames. A frame that could
//! be found by its frame pointer alone ends the list, because code that goes on there would run with registers that
//! nobody knows.
//!
//! Addresses are those of the process. To read what lies at one in a module's file (a language-specific data area,
//! which is read-only), use [`Unwinder::read_module`].

use std::io;

use gimli::Pointer;

use super::code::Owner;
use super::registers::FrameRegisters;
use super::walk::{Step, Unwinder};
use super::{FoundBy, Frame, FrameKind, FrameModule, MemorySource, Truncation};
use crate::sys::regs::GeneralRegisters;

/// The frames of a thread from where it stopped outwards, as far as all their registers can be restored.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OuterFrames {
    /// The frames, innermost first.
    pub frames: Vec<OuterFrame>,
    /// Why there are no more; none where the last is the thread's first function.
    pub truncated: Option<Truncation>,
}

/// One frame with its registers.
#[derive(Clone, PartialEq, Debug)]
pub struct OuterFrame {
    /// Where it is and how it was found.
    pub frame: Frame,
    /// The registers as they are in this frame: of the innermost one all, of its callers those that calls preserve,
    /// the stack pointer as it is when the callee has returned, and the return address as program counter.
    pub registers: FrameRegisters,
    /// The canonical frame address: the caller's stack pointer when this frame has returned. On x86-64 the return
    /// address lies in the 8 bytes below. None where the frame's own table does not tell.
    pub cfa: Option<u64>,
    /// What the unwind table says of its function; none where it has no table.
    pub procedure: Option<Procedure>,
}

/// What an unwind table says of a function beside its registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Procedure {
    /// The module.
    pub module: FrameModule,
    /// First address.
    pub low: u64,
    /// End, exclusive.
    pub high: u64,
    /// The routine that decides what an exception does to this function; none where it knows nothing of exceptions
    /// and lets them pass.
    pub personality: Option<Personality>,
    /// The language-specific data area: call sites, landing pads, catch clauses.
    pub lsda: Option<u64>,
    /// What the process's addresses are above the file's.
    bias: u64,
}

/// Where a personality routine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Personality {
    /// At this address.
    At(u64),
    /// At the address that is stored at this one; the dynamic linker put it there.
    StoredAt(u64),
}

impl Personality {
    /// The routine's address, if it can be read.
    pub fn resolve(self, memory: &dyn MemorySource) -> Option<u64> {
        match self {
            Self::At(address) => Some(address),
            Self::StoredAt(place) => memory.word(place, 8),
        }
    }
}

impl Unwinder<'_> {
    /// The frames of a thread that stopped with those registers, with the registers of each; `limit` is the most
    /// that are followed.
    pub fn outer_frames(
        &mut self,
        registers: &GeneralRegisters,
        memory: &dyn MemorySource,
        limit: usize,
    ) -> OuterFrames {
        let mut outer = OuterFrames::default();
        let mut registers = FrameRegisters::of_thread(registers);
        let mut found_by = FoundBy::Context;
        while outer.frames.len() < limit {
            let frame = self.frame(&registers, found_by, memory);
            let step = self.step(&frame, &registers, memory);
            let cfa = match &step {
                Ok(Step::Caller(caller, FoundBy::Cfi)) => caller.sp(),
                _ => None,
            };
            outer.frames.push(OuterFrame {
                procedure: self.procedure(&frame),
                frame,
                registers,
                cfa,
            });
            match step {
                Ok(Step::Caller(caller, by @ (FoundBy::Cfi | FoundBy::SignalFrame))) => {
                    (registers, found_by) = (caller, by);
                }
                Ok(Step::Caller(..)) => {
                    outer.truncated = Some(Truncation::NoInformation(frame.pc));
                    return outer;
                }
                Ok(Step::Outermost) => return outer,
                Err(truncation) => {
                    outer.truncated = Some(truncation);
                    return outer;
                }
            }
        }
        outer.truncated = Some(Truncation::Limit(limit));
        outer
    }

    /// Reads what a module's file has at an address of the process, as far as the segment goes.
    ///
    /// # Errors
    ///
    /// The address belongs to no segment of the file, or the file cannot be read.
    pub fn read_module(
        &mut self,
        procedure: &Procedure,
        address: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let outside = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the address is outside the module's file",
            )
        };
        let FrameModule::File(module) = procedure.module else {
            return Err(outside());
        };
        let tables = self.tables_of(Owner::Module(module)).ok_or_else(outside)?;
        let offset = tables.offset_of(address.wrapping_sub(procedure.bias));
        let offset = offset.ok_or_else(outside)?;
        self.source.read_at(module, offset, buffer)
    }

    fn procedure(&mut self, frame: &Frame) -> Option<Procedure> {
        if frame.kind != FrameKind::Code {
            return None;
        }
        let module = frame.module?;
        let tables = self.tables_of(owner(module))?;
        let behind_call = u64::from(!frame.is_interrupted());
        let entry = tables.find(frame.address?.wrapping_sub(behind_call))?;
        let bias = frame.pc.wrapping_sub(frame.address?);
        let personality = entry.personality().map(|pointer| match pointer {
            Pointer::Direct(address) => Personality::At(address.wrapping_add(bias)),
            Pointer::Indirect(place) => Personality::StoredAt(place.wrapping_add(bias)),
        });
        let lsda = entry.lsda().and_then(|pointer| pointer.direct().ok());
        // A function without an area shares its table's format with those that have one, and says 0. As a distance
        // that leads to the entry itself.
        let lsda = lsda.filter(|address| *address != 0 && !tables.contains(*address));
        Some(Procedure {
            module,
            low: entry.initial_address().wrapping_add(bias),
            high: entry.end_address().wrapping_add(bias),
            personality,
            lsda: lsda.map(|address| address.wrapping_add(bias)),
            bias,
        })
    }
}

fn owner(module: FrameModule) -> Owner {
    match module {
        FrameModule::File(module) => Owner::Module(module),
        FrameModule::Vdso => Owner::Vdso,
    }
}
