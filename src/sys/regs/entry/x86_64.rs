//! x86-64: System V ABI for functions, syscall(2) for the kernel, `struct rt_sigframe` for the way back.

use crate::sys::regs::GeneralRegisters;
use crate::sys::regs::x86_64::{
    CS, EFLAGS, ORIG_RAX, R8, R9, R10, R11, R12, R13, R14, R15, RAX, RBP, RBX, RCX, RDI, RDX, RIP, RSI, RSP,
    SS,
};

/// `syscall`.
pub const SYSTEM_CALL: &[u8] = &[0x0f, 0x05];
/// `syscall; ret`.
pub const SYSTEM_CALL_AND_RETURN: &[u8] = &[0x0f, 0x05, 0xc3];
/// `mov $15, %rax; syscall`: rt_sigreturn(2), as glibc and musl have it for `sa_restorer`.
pub const SIGNAL_RETURN: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
/// The red zone: a leaf function keeps data there without moving the stack pointer.
pub const ROOM_BELOW: u64 = 128;

/// Single stepping, and string instructions that count down (Intel SDM volume 1, 3.4.3).
const TRAP_FLAG: u64 = 1 << 8;
const DIRECTION_FLAG: u64 = 1 << 10;
/// Marks that no system call is to be restarted: without it the kernel takes 2 off a program counter that was moved.
const NO_SYSTEM_CALL: u64 = u64::MAX;

/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS` (asm/ucontext.h): ss is loaded as the frame has it.
const RESTORE_SS: u64 = 0x6;
/// In an FXSAVE image (Intel SDM volume 1, table 10-2): the status word of the x87 unit, which of its registers are full,
/// and what the kernel takes for the mark of a larger image (asm/sigcontext.h, `sw_reserved`).
const STATUS: std::ops::Range<usize> = 2..4;
const FULL: usize = 4;
const RESERVED: std::ops::Range<usize> = 464..512;
/// In the status word: an exception is pending, and the next x87 instruction takes it.
const PENDING: u8 = 1 << 7;
/// Registers of `struct sigcontext` in its order.
const SAVED: [usize; 18] = [
    R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, EFLAGS,
];
/// `err`, `trapno`, `oldmask` and `cr2`; behind the pointer to the floating point state, eight reserved words.
const NOT_LOADED: usize = 4;
const UNUSED: usize = 8;

impl GeneralRegisters {
    /// In front of the system call instruction at `site`, with everything else as it is. The stack pointer is `sp`:
    /// the kernel needs no stack, but what stands behind the instruction may.
    pub fn at_system_call(&self, site: u64, number: u64, args: [u64; 6], sp: u64) -> Self {
        let mut set = self.elsewhere(site, sp);
        set.0[RAX] = number;
        for (register, value) in [RDI, RSI, RDX, R10, R8, R9].into_iter().zip(args) {
            set.0[register] = value;
        }
        set
    }

    /// At the first instruction of `function`, called with up to six integer arguments. `sp` is where its return
    /// address lies; at a call, the stack is aligned so that `sp + 8` is a multiple of 16.
    pub fn at_function(&self, function: u64, args: &[u64], sp: u64) -> Self {
        let mut set = self.elsewhere(function, sp);
        // Number of vector registers that hold arguments of a variadic function.
        set.0[RAX] = 0;
        for (register, value) in [RDI, RSI, RDX, RCX, R8, R9].into_iter().zip(args) {
            set.0[register] = *value;
        }
        set
    }

    /// As a function leaves them that has returned `value` to where they point.
    pub fn after_return(&self, value: u64) -> Self {
        let mut set = self.elsewhere(self.0[RIP], self.0[RSP]);
        set.0[RAX] = value;
        set
    }

    /// What a system call or a function has returned.
    pub fn result(&self) -> u64 {
        self.0[RAX]
    }

    fn elsewhere(&self, pc: u64, sp: u64) -> Self {
        let mut set = self.clone();
        set.0[RIP] = pc;
        set.0[RSP] = sp;
        set.0[ORIG_RAX] = NO_SYSTEM_CALL;
        set.0[EFLAGS] &= !(TRAP_FLAG | DIRECTION_FLAG);
        set
    }
}

/// A frame that, once a thread has returned to `restorer` through its first word, gives it these registers and
/// this signal mask again, and the floating point registers of the image at `floating`, which is a multiple of 64; where
/// that is none, they are as at the start of a program. The alternate stack is what it was.
pub fn signal_frame(
    registers: &GeneralRegisters,
    mask: u64,
    restorer: u64,
    floating: Option<u64>,
) -> Vec<u8> {
    let segments = registers.0[CS] & 0xffff | registers.0[SS] << 48;
    // The word behind the flags is the link to another context, the three after it the alternate stack: a size of zero
    // is refused, which leaves the one that is set.
    let mut words = vec![restorer, RESTORE_SS, 0, 0, 0, 0];
    words.extend(SAVED.map(|register| registers.0[register]));
    words.push(segments);
    words.extend([0; NOT_LOADED]);
    words.push(floating.unwrap_or(0));
    words.extend([0; UNUSED]);
    words.push(mask);
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// The floating point registers (`NT_PRFPREG`) as a function is to find them that is called in place of another: the x87
/// unit is empty and has nothing pending; rounding, masks and the vector registers are as they were (System V ABI, 3.2.1).
pub fn floating_at_function(set: &[u8]) -> Vec<u8> {
    let mut image = set.to_vec();
    if let Some(status) = image.get_mut(STATUS) {
        status.fill(0);
    }
    if let Some(full) = image.get_mut(FULL) {
        *full = 0;
    }
    if let Some(reserved) = image.get_mut(RESERVED) {
        reserved.fill(0);
    }
    image
}

/// Whether the x87 unit is not as a function is to find it.
pub fn has_floating_rest(set: &[u8]) -> bool {
    let full = set.get(FULL).is_some_and(|full| *full != 0);
    full || set.get(STATUS.start).is_some_and(|status| status & PENDING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_has_the_layout_of_the_kernel() {
        let registers =
            GeneralRegisters::from_named(&[("rip", 0x1111), ("rsp", 0x2222), ("cs", 0x33), ("ss", 0x2b)]);
        let frame = signal_frame(&registers, 0x4444, 0x5555, Some(0x6640));
        let word = |offset: usize| u64::from_le_bytes(frame[offset..offset + 8].try_into().unwrap());
        // struct ucontext begins behind the return address; libc knows the offsets in it.
        let context = 8 + std::mem::offset_of!(libc::ucontext_t, uc_mcontext);
        let register = |index: i32| word(context + 8 * index as usize);
        assert_eq!(word(0), 0x5555);
        assert_eq!(
            (register(libc::REG_RIP), register(libc::REG_RSP)),
            (0x1111, 0x2222)
        );
        assert_eq!(register(libc::REG_CSGSFS), 0x2b << 48 | 0x33);
        let floating = context + std::mem::offset_of!(libc::mcontext_t, fpregs);
        assert_eq!(word(floating), 0x6640);
        let mask = 8 + std::mem::offset_of!(libc::ucontext_t, uc_sigmask);
        assert_eq!((word(mask), frame.len()), (0x4444, mask + 8));
    }

    #[test]
    fn what_a_function_left_in_the_x87_unit_is_taken_out_and_its_control_word_is_not() {
        let mut set = vec![0xff; 512];
        assert!(has_floating_rest(&set));
        let clean = floating_at_function(&set);
        assert!(!has_floating_rest(&clean));
        assert_eq!(
            (&clean[..2], &clean[24..28]),
            (&[0xff; 2][..], &[0xff; 4][..]),
            "control words"
        );
        set[2..5].copy_from_slice(&[PENDING, 0, 0]);
        assert!(has_floating_rest(&set));
        set[2] = 0x20;
        assert!(!has_floating_rest(&set), "an inexact result is no fault");
        assert!(floating_at_function(&[]).is_empty());
    }

    #[test]
    fn a_thread_sent_elsewhere_restarts_nothing_and_traps_nowhere() {
        let before = GeneralRegisters::from_named(&[("orig_rax", 232), ("eflags", 0x10746), ("rbx", 7)]);
        let after = before.at_system_call(0x1000, 39, [1, 2, 3, 4, 5, 6], 0x2000);
        assert_eq!(after.system_call(), None);
        assert_eq!((after.get("eflags"), after.get("rbx")), (Some(0x10246), Some(7)));
        assert_eq!((after.get("r10"), after.get("rax")), (Some(4), Some(39)));
        let called = before.at_function(0x3000, &[8, 9], 0x2008);
        assert_eq!(
            (called.pc(), called.sp(), called.get("rsi")),
            (0x3000, 0x2008, Some(9))
        );
    }
}
