//! A system call that was refused, in words.

use std::fmt;

use crate::sys::signal::RefusedCall;

/// `AUDIT_ARCH_*` (linux/audit.h): ELF machine, 64 bits, little endian.
const X86: u32 = 0x4000_0003;
const NATIVE: u32 = if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    0xc000_003e
};

/// The name of a system call of this architecture, as `syscalls(2)` lists it.
pub fn system_call_name(number: u64) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    syscalls::Sysno::new(number).map(|call| call.name())
}

/// `ptrace (101), called from before 0x7f0012`.
impl fmt::Display for RefusedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            architecture,
            from,
        } = *self;
        let place = usize::try_from(number).ok();
        let name = place.and_then(|number| match architecture {
            NATIVE => syscalls::Sysno::new(number).map(|call| call.name()),
            X86 => syscalls::x86::Sysno::new(number).map(|call| call.name()),
            _ => None,
        });
        write!(f, "{} ({number}", name.unwrap_or("unknown"))?;
        match architecture {
            NATIVE => {}
            X86 => f.write_str(" of 32-bit x86")?,
            other => write!(f, " of architecture {other:#x}")?,
        }
        write!(f, "), called from before {from:#x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_their_architecture_says() {
        let told = |number, architecture| {
            let call = RefusedCall {
                number,
                architecture,
                from: 0x1000,
            };
            call.to_string()
        };
        assert_eq!(
            told(26, X86),
            "ptrace (26 of 32-bit x86), called from before 0x1000"
        );
        let native = syscalls::Sysno::ptrace as i32;
        assert_eq!(
            told(native, NATIVE),
            format!("ptrace ({native}), called from before 0x1000")
        );
        assert_eq!(
            told(26, 0x28),
            "unknown (26 of architecture 0x28), called from before 0x1000"
        );
        for strange in [-1, i32::MAX, 0x4000_0000] {
            assert!(told(strange, NATIVE).starts_with("unknown ("));
            assert!(told(strange, X86).starts_with("unknown ("));
        }
    }
}
