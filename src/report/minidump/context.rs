//! The registers of a thread as minidumps write them (`CONTEXT` of the Windows headers, one for each architecture).

use minidump_common::format::{
    CONTEXT_AMD64, CONTEXT_ARM64, ContextFlagsAmd64, ContextFlagsArm64, MINIDUMP_LOCATION_DESCRIPTOR,
    ProcessorArchitecture,
};

use super::buffer::Buffer;
use crate::report::core::Thread;
use crate::sys::regs::{GeneralRegisters, MACHINE};

/// What the format calls this architecture.
pub(super) fn architecture() -> ProcessorArchitecture {
    match MACHINE {
        "aarch64" => ProcessorArchitecture::PROCESSOR_ARCHITECTURE_ARM64,
        _ => ProcessorArchitecture::PROCESSOR_ARCHITECTURE_AMD64,
    }
}

/// Appends the registers of a thread.
pub(super) fn push(thread: &Thread<'_>, buffer: &mut Buffer) -> Option<MINIDUMP_LOCATION_DESCRIPTOR> {
    let registers = GeneralRegisters::from_bytes(thread.general).ok()?;
    Some(match architecture() {
        ProcessorArchitecture::PROCESSOR_ARCHITECTURE_ARM64 => buffer.push(arm64(&registers, thread.fp)),
        _ => buffer.push(amd64(&registers, thread.fp)),
    })
}

fn amd64(registers: &GeneralRegisters, fp: &[u8]) -> CONTEXT_AMD64 {
    let get = |name| registers.get(name).unwrap_or(0);
    let mut context = CONTEXT_AMD64 {
        context_flags: ContextFlagsAmd64::CONTEXT_AMD64_FULL.bits()
            | ContextFlagsAmd64::CONTEXT_AMD64_SEGMENTS.bits(),
        cs: get("cs") as u16,
        ds: get("ds") as u16,
        es: get("es") as u16,
        fs: get("fs") as u16,
        gs: get("gs") as u16,
        ss: get("ss") as u16,
        eflags: get("eflags") as u32,
        rax: get("rax"),
        rcx: get("rcx"),
        rdx: get("rdx"),
        rbx: get("rbx"),
        rsp: get("rsp"),
        rbp: get("rbp"),
        rsi: get("rsi"),
        rdi: get("rdi"),
        r8: get("r8"),
        r9: get("r9"),
        r10: get("r10"),
        r11: get("r11"),
        r12: get("r12"),
        r13: get("r13"),
        r14: get("r14"),
        r15: get("r15"),
        rip: get("rip"),
        ..CONTEXT_AMD64::default()
    };
    // FXSAVE and XMM_SAVE_AREA32 are the same 512 bytes.
    if let Some(image) = fp.first_chunk() {
        context.float_save = *image;
        context.mx_csr = u32::from_le_bytes([fp[24], fp[25], fp[26], fp[27]]);
    }
    context
}

fn arm64(registers: &GeneralRegisters, fp: &[u8]) -> CONTEXT_ARM64 {
    let mut context = CONTEXT_ARM64 {
        context_flags: ContextFlagsArm64::CONTEXT_ARM64_FULL.bits(),
        sp: registers.sp(),
        pc: registers.pc(),
        cpsr: registers.get("pstate").unwrap_or(0) as u32,
        ..CONTEXT_ARM64::default()
    };
    for (number, register) in context.iregs.iter_mut().enumerate() {
        *register = registers.get(&format!("x{number}")).unwrap_or(0);
    }
    for (register, bytes) in context.float_regs.iter_mut().zip(fp.chunks_exact(16)) {
        *register = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u128::from(*byte));
    }
    context
}
