//! x86-64 (System V ABI for AMD64; arch/x86/kernel/signal.c, `struct rt_sigframe`).

/// The program counter; in unwind tables the return address.
pub(in crate::diagnose::unwind) const PROGRAM_COUNTER: usize = 16;
/// rsp.
pub(in crate::diagnose::unwind) const STACK_POINTER: usize = 7;
/// rbp.
pub(in crate::diagnose::unwind) const FRAME_POINTER: usize = 6;
/// rbx, rbp, r12 to r15: a function leaves them as they were.
pub(in crate::diagnose::unwind) const CALLEE_SAVED: [usize; 6] = [3, 6, 12, 13, 14, 15];
/// Calls push the return address.
pub(in crate::diagnose::unwind) const LINK_REGISTER: Option<usize> = None;

/// The longest of [`is_signal_trampoline`]'s patterns, bytes.
pub(in crate::diagnose::unwind) const TRAMPOLINE: usize = 9;

/// `mov rax, 15; syscall` (`rt_sigreturn`), in the two encodings that C libraries use.
pub(in crate::diagnose::unwind) fn is_signal_trampoline(code: &[u8]) -> bool {
    code.starts_with(&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05])
        || code.starts_with(&[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05])
}

/// Bytes in front of a return address that [`follows_call`] looks at.
pub(in crate::diagnose::unwind) const BEFORE_RETURN: usize = 7;

/// Whether code ends with a call: `call rel32`, or `call` through a register or memory in one of its lengths.
pub(in crate::diagnose::unwind) fn follows_call(code: &[u8]) -> bool {
    let from_end = |distance: usize| code.len().checked_sub(distance).and_then(|at| code.get(at..));
    let indirect = |length: usize| {
        from_end(length).is_some_and(|bytes| matches!(bytes, [0xff, modrm, ..] if modrm >> 3 & 7 == 2))
    };
    from_end(5).is_some_and(|bytes| bytes.starts_with(&[0xe8])) || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

/// Offset of `uc_mcontext` in the `ucontext_t` that a trampoline's stack pointer points to.
const MCONTEXT: u64 = 40;
/// DWARF's numbers of the registers in `struct sigcontext_64`, in their order there.
const SAVED: [usize; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];

/// Where the kernel saved the interrupted registers: DWARF number and address of each, for a trampoline with that
/// stack pointer.
pub(in crate::diagnose::unwind) fn interrupted(sp: u64) -> impl Iterator<Item = (usize, u64)> {
    let first = sp.wrapping_add(MCONTEXT);
    (0_u64..)
        .zip(SAVED)
        .map(move |(place, number)| (number, first.wrapping_add(8 * place)))
}

/// A code address as it is meant; x86-64 hides nothing in it.
pub(in crate::diagnose::unwind) fn plain_address(address: u64) -> u64 {
    address
}
