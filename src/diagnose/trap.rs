//! SIGFPE, SIGILL, SIGTRAP and SIGSYS that the kernel raised.

use super::subject::Subject;
use super::{Cause, Finding};
use crate::diagnose::instruction::Class;
use crate::sys::signal::{SI_KERNEL, code_name};

const FPE_INTDIV: i32 = 1;
const FPE_INTOVF: i32 = 2;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const TRAP_BRANCH: i32 = 3;
const TRAP_HWBKPT: i32 = 4;
const SYS_SECCOMP: i32 = 1;

/// SIGFPE.
pub(super) fn arithmetic(subject: &Subject<'_>) -> Finding {
    let divisor = subject.instruction.as_ref().map(|instruction| instruction.class);
    match (subject.code(), divisor) {
        (FPE_INTDIV, Some(Class::Division(Some(divisor)))) if divisor != 0 => Finding::new(
            Cause::DivideOverflow,
            sentence(subject, "the quotient does not fit the register"),
        ),
        (FPE_INTDIV, _) => Finding::new(Cause::DivideByZero, sentence(subject, "divide by zero")),
        (FPE_INTOVF, _) => Finding::new(Cause::IntegerOverflow, sentence(subject, "integer overflow")),
        (code, _) => {
            let name = code_name(subject.signal, code).unwrap_or("floating-point exception");
            Finding::new(Cause::FloatingPoint, sentence(subject, name))
        }
    }
}

/// SIGILL.
pub(super) fn illegal(subject: &Subject<'_>) -> Finding {
    Finding::new(
        Cause::IllegalInstruction,
        sentence(subject, "illegal instruction"),
    )
}

/// SIGTRAP.
pub(super) fn trap(subject: &Subject<'_>) -> Finding {
    let cause = match subject.code() {
        TRAP_BRKPT | SI_KERNEL => Cause::Breakpoint,
        TRAP_TRACE | TRAP_BRANCH => Cause::SingleStep,
        TRAP_HWBKPT => Cause::HardwareBreakpoint,
        _ => Cause::RaisedByKernel,
    };
    Finding::new(cause, sentence(subject, cause.as_str()))
}

/// SIGSYS.
pub(super) fn system_call(subject: &Subject<'_>) -> Finding {
    let cause = match subject.code() {
        SYS_SECCOMP => Cause::BlockedSystemCall,
        _ => Cause::DispatchedSystemCall,
    };
    let call = match subject.info.and_then(|info| info.blocked_call()) {
        Some((number, from)) => {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            let name = super::system_call_name(number).unwrap_or("unknown");
            format!("{cause}: {name} ({number}), called from before {from:#x}")
        }
        None => cause.to_string(),
    };
    Finding::new(cause, call)
}

/// "divide by zero: `idiv ecx`, ecx = 0x0", or with the program counter where there is no instruction.
fn sentence(subject: &Subject<'_>, what: &str) -> String {
    match (subject.instruction_text(), subject.pc()) {
        (Some(text), _) => format!("{what}: {text}"),
        (None, Some(pc)) => format!("{what} at {pc:#x}"),
        (None, None) => what.to_owned(),
    }
}
