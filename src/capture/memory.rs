//! Stacks, the memory around registers, code: which ranges are copied, and how far.
//!
//! The ranges of all threads go into few `process_vm_readv(2)` calls; the faulting thread's come first and the
//! total is bounded, so that a thousand deep stacks cannot crowd it out.

use crate::config::ReportOptions;
use crate::sys::memory::{Memory, Span};
use crate::sys::regs::GeneralRegisters;

use super::maps::{Mapping, Maps};
use super::{Blob, Capture, MemoryRange, Purpose, StackRange};

/// Bytes below the stack pointer that leaf functions use (System V ABI, "the red zone").
const RED_ZONE: u64 = 128;
/// How much around a register is copied, and how much of it lies below the address.
const AROUND: u64 = 256;
const BELOW: u64 = 32;
/// How much around a program counter is copied, half of it on each side.
const CODE: u64 = 256;
/// The vdso is two to four pages.
const MAX_VDSO: u64 = 64 << 10;

impl Capture {
    /// Copies the stacks of `threads` (places in `facts.threads` with their registers), the faulting one first.
    pub(super) fn copy_stacks(
        &mut self,
        memory: &Memory,
        maps: &Maps,
        threads: &[(usize, GeneralRegisters)],
        options: &ReportOptions,
    ) {
        let mut budget = options.memory.0;
        let mut wanted = Vec::with_capacity(threads.len());
        let mut cut = 0_usize;
        for (order, (place, registers)) in threads.iter().enumerate() {
            let cap = if order == 0 {
                options.fault_stack.0
            } else {
                options.thread_stack.0
            };
            match stack_span(maps, registers.sp(), cap.min(budget)) {
                Some((mapping, span)) => {
                    budget -= span.len as u64;
                    cut += usize::from(budget == 0);
                    wanted.push((*place, registers.sp(), mapping, span));
                }
                None => self.miss(
                    format!("stack of thread {}", self.facts.threads[*place].tid),
                    format!("its stack pointer {:#x} is in no mapping", registers.sp()),
                ),
            }
        }
        if cut > 0 {
            let limit = options.memory;
            self.miss(
                "stacks",
                format!("the limit of {limit} was reached: {cut} threads have less than is configured"),
            );
        }
        let spans: Vec<Span> = wanted.iter().map(|(.., span)| *span).collect();
        let mut offset = self.bytes.len() as u64;
        let sizes = memory.read(&spans, &mut self.bytes);
        for ((place, pointer, mapping, span), size) in wanted.into_iter().zip(sizes) {
            let data = Blob {
                offset,
                len: size as u64,
            };
            offset += size as u64;
            self.facts.threads[place].stack = Some(StackRange {
                pointer,
                low: mapping.low,
                high: mapping.high,
                start: span.start,
                data,
            });
        }
    }

    /// Copies the memory around every register of the faulting thread that points into a readable mapping.
    pub(super) fn copy_around_registers(
        &mut self,
        memory: &Memory,
        maps: &Maps,
        registers: &GeneralRegisters,
    ) {
        let pointed_to = registers.pointers().filter_map(|(name, value)| {
            let start = value.saturating_sub(BELOW) & !7;
            let span = within_mapping(maps, value, start, AROUND)?;
            Some((Purpose::Register(name.to_owned()), span))
        });
        let code = code_around(maps, registers.pc()).map(|span| (Purpose::Code, span));
        self.copy_ranges(memory, pointed_to.chain(code).collect());
    }

    /// Copies the code around the program counter of an earlier fault.
    pub(super) fn copy_code(&mut self, memory: &Memory, maps: &Maps, pc: u64, purpose: Purpose) {
        let code = code_around(maps, pc).map(|span| (purpose, span));
        self.copy_ranges(memory, code.into_iter().collect());
    }

    /// Copies the vdso, which is a module without a file.
    pub(super) fn copy_vdso(&mut self, memory: &Memory, maps: &Maps) {
        let vdso = maps.iter().find(|mapping| mapping.name == "[vdso]");
        let whole = vdso.map(|vdso| Span {
            start: vdso.low,
            len: (vdso.high - vdso.low).min(MAX_VDSO) as usize,
        });
        let whole = whole.map(|span| (Purpose::Vdso, span));
        self.copy_ranges(memory, whole.into_iter().collect());
    }

    /// Copies ranges, each for its purpose, as far as they are there.
    pub(super) fn copy_ranges(&mut self, memory: &Memory, wanted: Vec<(Purpose, Span)>) {
        let spans: Vec<Span> = wanted.iter().map(|(_, span)| *span).collect();
        let mut offset = self.bytes.len() as u64;
        let sizes = memory.read(&spans, &mut self.bytes);
        for ((purpose, Span { start, .. }), size) in wanted.into_iter().zip(sizes) {
            let data = Blob {
                offset,
                len: size as u64,
            };
            offset += data.len;
            if size > 0 {
                self.facts.memory.push(MemoryRange { purpose, start, data });
            }
        }
    }
}

/// Half of it on each side of a program counter.
fn code_around(maps: &Maps, pc: u64) -> Option<Span> {
    within_mapping(maps, pc, pc.saturating_sub(CODE / 2), CODE)
}

/// The part of a range that lies in the readable mapping of an address.
fn within_mapping(maps: &Maps, address: u64, start: u64, len: u64) -> Option<Span> {
    let mapping = maps.find(address).filter(|mapping| mapping.readable)?;
    let start = start.max(mapping.low);
    let end = start.saturating_add(len).min(mapping.high);
    Some(Span {
        start,
        len: (end - start) as usize,
    })
}

/// The part of a stack to copy, and the mapping it lies in.
pub(super) fn stack_span(maps: &Maps, sp: u64, cap: u64) -> Option<(&Mapping, Span)> {
    let mapping = maps.stack_of(sp)?;
    let start = sp.saturating_sub(RED_ZONE).max(mapping.low);
    let len = (mapping.high - start).min(cap);
    Some((
        mapping,
        Span {
            start,
            len: len as usize,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"\
        00400000-00401000 r-xp 00000000 08:01 11 /bin/x\n\
        7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n\
        7f0000001000-7f0000011000 rw-p 00000000 00:00 0 \n";

    #[test]
    fn a_stack_is_copied_from_the_red_zone_up_to_the_limit() {
        let maps = Maps::parse(MAPS);
        let (mapping, span) = stack_span(&maps, 0x7f00_0000_8000, 0x1000).unwrap();
        assert_eq!((mapping.low, mapping.high), (0x7f00_0000_1000, 0x7f00_0001_1000));
        assert_eq!(
            span,
            Span {
                start: 0x7f00_0000_7f80,
                len: 0x1000
            }
        );
        let (_, whole) = stack_span(&maps, 0x7f00_0001_0ff8, 1 << 20).unwrap();
        assert_eq!(whole.start + whole.len as u64, 0x7f00_0001_1000);
    }

    #[test]
    fn an_overflown_stack_is_copied_from_its_lowest_page() {
        let (_, span) = stack_span(&Maps::parse(MAPS), 0x7f00_0000_0ff8, 1 << 20).unwrap();
        assert_eq!(
            span,
            Span {
                start: 0x7f00_0000_1000,
                len: 0x10000
            }
        );
        assert_eq!(stack_span(&Maps::parse(MAPS), 0x1234, 1 << 20), None);
    }
}
