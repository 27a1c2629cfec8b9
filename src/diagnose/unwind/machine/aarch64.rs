//! aarch64 (DWARF for the Arm 64-bit Architecture; arch/arm64/kernel/signal.c, `struct rt_sigframe`).
//!
//! Type-checked, not run: there is no such machine among those that test this.

/// pc.
pub(in crate::diagnose::unwind) const PROGRAM_COUNTER: usize = 32;
/// sp.
pub(in crate::diagnose::unwind) const STACK_POINTER: usize = 31;
/// x29.
pub(in crate::diagnose::unwind) const FRAME_POINTER: usize = 29;
/// x19 to x30: a function leaves them as they were.
pub(in crate::diagnose::unwind) const CALLEE_SAVED: [usize; 12] =
    [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30];
/// Calls leave the return address in x30.
pub(in crate::diagnose::unwind) const LINK_REGISTER: Option<usize> = Some(30);

/// The length of [`is_signal_trampoline`]'s pattern, bytes.
pub(in crate::diagnose::unwind) const TRAMPOLINE: usize = 8;

/// `mov x8, #139; svc #0` (`rt_sigreturn`).
pub(in crate::diagnose::unwind) fn is_signal_trampoline(code: &[u8]) -> bool {
    code.starts_with(&[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4])
}

/// Bytes in front of a return address that [`follows_call`] looks at.
pub(in crate::diagnose::unwind) const BEFORE_RETURN: usize = 4;

/// Whether code ends with a call: `bl`, or `blr` with or without pointer authentication.
pub(in crate::diagnose::unwind) fn follows_call(code: &[u8]) -> bool {
    let word = code.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    word.is_some_and(|word| word >> 26 == 0b10_0101 || word & 0xfeff_f000 == 0xd63f_0000)
}

/// Offset of the general registers behind a trampoline's stack pointer: `siginfo_t`, `ucontext_t` up to
/// `uc_mcontext`, and its `fault_address`.
const REGISTERS: u64 = 128 + 176 + 8;

/// Where the kernel saved the interrupted registers: DWARF number and address of each, for a trampoline with that
/// stack pointer. x0 to x30, sp and pc follow each other there.
pub(in crate::diagnose::unwind) fn interrupted(sp: u64) -> impl Iterator<Item = (usize, u64)> {
    let first = sp.wrapping_add(REGISTERS);
    (0_u64..)
        .zip(0..=PROGRAM_COUNTER)
        .map(move |(place, number)| (number, first.wrapping_add(8 * place)))
}

/// Bits of a user address; what lies above may be a pointer authentication code or a tag.
const ADDRESS_BITS: u64 = (1 << 48) - 1;

/// A code address without its authentication code.
pub(in crate::diagnose::unwind) fn plain_address(address: u64) -> u64 {
    address & ADDRESS_BITS
}
