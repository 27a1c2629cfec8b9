//! The causes a diagnosis can name.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a thread took its signal, or a process ended.
        ///
        /// The texts ([`Cause::as_str`]) are part of the report's format: people search for them and rules
        /// compare them, so a text never changes once it is published.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Cause {
            /// Every cause there is.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The published text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

causes! {
    /// Data access below 64 KiB.
    NullDereference = "null pointer dereference",
    /// The program counter itself is below 64 KiB.
    JumpToNull = "jump to null",
    /// The stack pointer left the stack's mapping.
    StackOverflow = "stack overflow",
    /// A write to a mapping without write permission.
    WriteToReadOnly = "write to read-only memory",
    /// The program counter is in a mapping without execute permission.
    ExecuteNonExecutable = "execution of non-executable memory",
    /// The program counter is where nothing is mapped.
    JumpToUnmapped = "jump to unmapped memory",
    /// An address that the processor cannot translate on principle.
    NonCanonical = "non-canonical address",
    /// SIGBUS in a file mapping, behind the last page that the file still has.
    PastEndOfFile = "access past the end of a mapped file",
    /// An access whose address is not a multiple of what the instruction needs.
    Misaligned = "misaligned access",
    /// A data access where nothing is mapped.
    UnmappedAccess = "unmapped memory access",
    /// A data access that the mapping's permissions forbid.
    ProtectedAccess = "access to protected memory",
    /// A data access that a protection key forbids (pkeys(7)).
    ProtectionKey = "protection key violation",
    /// A pointer whose tag is not the memory's (aarch64 MTE).
    TagMismatch = "memory tag mismatch",
    /// A return or an indirect branch that shadow stack or branch tracking refused.
    ControlFlow = "control-flow protection violation",
    /// Failing memory hardware.
    MemoryError = "memory error (hardware)",
    /// SIGBUS of another kind.
    BusError = "bus error",
    /// An instruction that only the kernel may execute.
    PrivilegedInstruction = "privileged instruction",
    /// The processor refused the instruction, and the copy does not show why.
    GeneralProtection = "general protection fault",
    /// Integer division by zero.
    DivideByZero = "divide by zero",
    /// Integer division whose quotient does not fit.
    DivideOverflow = "divide overflow",
    /// Integer overflow that traps.
    IntegerOverflow = "integer overflow",
    /// An unmasked floating-point exception.
    FloatingPoint = "floating-point exception",
    /// Undefined opcode, `ud2` included.
    IllegalInstruction = "illegal instruction",
    /// `int3`, `brk`.
    Breakpoint = "breakpoint",
    /// A debug register matched.
    HardwareBreakpoint = "hardware breakpoint",
    /// The trap flag, or the end of a single step.
    SingleStep = "single step",
    /// `abort(3)` without a known reason.
    Abort = "abort",
    /// `assert(3)`.
    AssertionFailed = "assertion failed",
    /// `std::terminate`.
    UncaughtException = "uncaught C++ exception",
    /// A virtual method that has no body yet, or no more: called while its object is built or destroyed.
    PureVirtualMethod = "pure virtual method called",
    /// A virtual method that is declared as deleted.
    DeletedVirtualMethod = "deleted virtual method called",
    /// A Rust panic that aborts.
    RustPanic = "Rust panic",
    /// Rust's allocator had no memory.
    AllocationFailed = "memory allocation failed",
    /// The C library found its heap damaged.
    HeapCorruption = "heap corruption",
    /// The stack protector found its canary damaged.
    StackSmashing = "stack smashing",
    /// `_FORTIFY_SOURCE` refused a call.
    Fortify = "buffer overflow (fortify)",
    /// A seccomp filter answered with a trap or killed.
    BlockedSystemCall = "blocked system call (seccomp)",
    /// Syscall user dispatch (prctl(2), `PR_SET_SYSCALL_USER_DISPATCH`).
    DispatchedSystemCall = "system call trapped by user dispatch",
    /// `RLIMIT_CPU`.
    CpuTimeLimit = "CPU time limit",
    /// `RLIMIT_FSIZE`.
    FileSizeLimit = "file size limit",
    /// A write to a pipe or socket that nobody reads.
    BrokenPipe = "broken pipe",
    /// A timer ran out.
    Timer = "timer",
    /// A key on, or the hang-up of, the controlling terminal.
    Terminal = "sent from the terminal",
    /// SIGABRT from the service manager.
    Watchdog = "systemd watchdog",
    /// Another process sent the signal.
    SentByProcess = "sent by another process",
    /// The process sent the signal to itself.
    RaisedByItself = "raised by the process itself",
    /// The kernel raised the signal without a fault of the thread.
    RaisedByKernel = "raised by the kernel",
    /// The process was killed; no thread stopped for it.
    Killed = "killed",
    /// The kernel's or the cgroup's memory ran out and this process was chosen.
    OutOfMemory = "out of memory",
    /// The process exited with a status other than 0.
    FailureStatus = "exited with a failure status",
    /// The process exited with status 0.
    Exited = "exited",
    /// Threads wait for each other in a circle.
    Deadlock = "deadlock",
    /// Threads wait for a lock whose owner has ended.
    AbandonedLock = "lock held by a thread that has ended",
    /// The capture holds too little to say.
    Unknown = "unknown",
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_and_travel_as_themselves() {
        for (at, cause) in Cause::ALL.iter().enumerate() {
            assert!(
                Cause::ALL[..at]
                    .iter()
                    .all(|other| other.as_str() != cause.as_str()),
                "{cause}"
            );
            let json = serde_json::to_string(cause).unwrap();
            assert_eq!(json, format!("\"{cause}\""));
            assert_eq!(serde_json::from_str::<Cause>(&json).unwrap(), *cause);
        }
    }
}
