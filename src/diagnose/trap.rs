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
            sentence(subject, "divide overflow, the quotient does not fit"),
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
    let call = match subject.info.and_then(|info| info.refused_call()) {
        Some(call) => format!("{cause}: {call}"),
        None => cause.to_string(),
    };
    Finding::new(cause, call)
}

/// The instruction, or else the program counter.
fn sentence(subject: &Subject<'_>, what: &str) -> String {
    match (&subject.instruction, subject.pc()) {
        (None, Some(pc)) => format!("{what} at {pc:#x}"),
        _ => subject.with_instruction(what),
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::capture::Purpose;
    use crate::diagnose::sample::{Case, PC};
    use crate::sys::SigNo;
    use crate::sys::signal::SigInfo;

    #[test]
    fn arithmetic_shows_its_operands() {
        let divide = |divisor| {
            Case::new(SigNo::FPE, 1, PC)
                .with("rcx", divisor)
                .code(&[0xf7, 0xf9])
                .told()
        };
        assert_eq!(
            (divide(0).0, divide(0).2),
            (
                Cause::DivideByZero,
                "divide by zero: `idiv ecx`, ecx = 0x0, edx = 0x0, eax = 0x0".into()
            )
        );
        assert_eq!(divide(0xffff_ffff).0, Cause::DivideOverflow);
        assert_eq!(Case::new(SigNo::FPE, 1, PC).cause(), Cause::DivideByZero);
        assert_eq!(Case::new(SigNo::FPE, 2, PC).cause(), Cause::IntegerOverflow);
        let float = Case::new(SigNo::FPE, 3, PC).told();
        assert_eq!(
            (float.0, float.2),
            (Cause::FloatingPoint, format!("FPE_FLTDIV at {PC:#x}"))
        );
    }

    #[test]
    fn traps_are_told_by_their_code() {
        let ud2 = Case::new(SigNo::ILL, 2, PC).code(&[0x0f, 0x0b]).told();
        assert_eq!(
            (ud2.0, ud2.2),
            (Cause::IllegalInstruction, "illegal instruction: `ud2`".into())
        );
        let mut int3 = Case::new(SigNo::TRAP, 0x80, 0);
        int3.memory(Purpose::Code, PC - 1, &[0xcc, 0xc3]);
        let int3 = int3.told();
        assert_eq!((int3.0, int3.2), (Cause::Breakpoint, "breakpoint: `int3`".into()));
        let trap = |code| Case::new(SigNo::TRAP, code, PC).cause();
        assert_eq!(
            [trap(1), trap(2), trap(4), trap(6)],
            [
                Cause::Breakpoint,
                Cause::SingleStep,
                Cause::HardwareBreakpoint,
                Cause::RaisedByKernel
            ]
        );
    }

    #[test]
    fn blocked_calls_are_named() {
        let blocked = |code| {
            let mut info = *SigInfo::new(SigNo::SYS, code, PC).as_bytes();
            info[24..28].copy_from_slice(&101_i32.to_le_bytes());
            info[28..32].copy_from_slice(&0xc000_003e_u32.to_le_bytes());
            let mut case = Case::new(SigNo::SYS, code, PC);
            let info = case.capture.keep(&info);
            case.fault().siginfo = Some(info);
            case.told()
        };
        let seccomp = blocked(1);
        assert_eq!(seccomp.0, Cause::BlockedSystemCall);
        assert!(
            seccomp
                .2
                .starts_with("blocked system call (seccomp): ptrace (101)"),
            "{}",
            seccomp.2
        );
        assert_eq!(blocked(2).0, Cause::DispatchedSystemCall);
    }
}
