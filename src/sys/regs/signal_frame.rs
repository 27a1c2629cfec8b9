//! What the kernel leaves on a stack for a signal's handler (sigaction(2), `ucontext_t`).

#[cfg(target_arch = "aarch64")]
use super::aarch64::{FLAGS_OF_SIGNAL_FRAME, INTERRUPTED_SP};
#[cfg(target_arch = "x86_64")]
use super::x86_64::{FLAGS_OF_SIGNAL_FRAME, INTERRUPTED_SP};

/// Offsets in `ucontext_t` (asm-generic/ucontext.h) that all architectures share.
const UC_FLAGS: usize = 0;
const UC_LINK: usize = 8;
const UC_STACK_SP: usize = 16;
const UC_STACK_SIZE: usize = 32;

/// The stack pointer that a signal handler on an alternate stack interrupted, if `bytes`, from `address` on, are the
/// `ucontext_t` that the kernel built there for it.
///
/// It names the alternate stack of the thread, so one that lies on the stack that it names is no other words.
pub fn interrupted_stack_pointer(bytes: &[u8], address: u64) -> Option<u64> {
    let word = |at: usize| {
        let word = bytes.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word))
    };
    if word(UC_LINK)? != 0 || word(UC_FLAGS)? & !FLAGS_OF_SIGNAL_FRAME != 0 {
        return None;
    }
    let within = address.checked_sub(word(UC_STACK_SP)?)?;
    if within >= word(UC_STACK_SIZE)? {
        return None;
    }
    word(INTERRUPTED_SP)
}

/// A `ucontext_t` with those values, for tests.
#[cfg(test)]
pub(crate) fn made(stack: u64, size: u64, interrupted: u64) -> Vec<u8> {
    let mut bytes = vec![0; INTERRUPTED_SP + 8];
    for (at, word) in [
        (UC_STACK_SP, stack),
        (UC_STACK_SIZE, size),
        (INTERRUPTED_SP, interrupted),
    ] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
