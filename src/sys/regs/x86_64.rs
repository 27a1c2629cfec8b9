//! x86-64: `struct user_regs_struct`, the FXSAVE image and the XSAVE area in its standard layout.

use super::{ForeignRegisters, SystemCall};

/// The machine as `uname -m` and ELF name it.
pub const MACHINE: &str = "x86_64";
/// `EM_X86_64` (elf(5)).
pub const ELF_MACHINE: u16 = 62;

/// `NT_X86_XSTATE`: the whole XSAVE area as the kernel keeps it.
pub const EXTENDED_SET: Option<i32> = Some(0x202);
/// The XSAVE area begins with the FXSAVE image, which is what `NT_PRFPREG` holds (Intel SDM volume 1, 13.4.1).
pub const FP_OF_EXTENDED_SET: u64 = 512;

/// Names in the order of `struct user_regs_struct` (sys/user.h).
const NAMES: [&str; 27] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
];

/// The order in which people read them.
const READING_ORDER: [usize; 27] = [
    10, 5, 11, 12, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16, 18, 15, 17, 20, 23, 24, 25, 26, 21, 22,
];

pub(super) const R15: usize = 0;
pub(super) const R14: usize = 1;
pub(super) const R13: usize = 2;
pub(super) const R12: usize = 3;
pub(super) const RBP: usize = 4;
pub(super) const RBX: usize = 5;
pub(super) const R11: usize = 6;
pub(super) const R10: usize = 7;
pub(super) const R9: usize = 8;
pub(super) const R8: usize = 9;
pub(super) const RAX: usize = 10;
pub(super) const RCX: usize = 11;
pub(super) const RDX: usize = 12;
pub(super) const RSI: usize = 13;
pub(super) const RDI: usize = 14;
pub(super) const ORIG_RAX: usize = 15;
pub(super) const RIP: usize = 16;
pub(super) const CS: usize = 17;
pub(super) const EFLAGS: usize = 18;
pub(super) const RSP: usize = 19;
pub(super) const SS: usize = 20;

/// Places of the registers that DWARF numbers, by those numbers (System V ABI for AMD64, "DWARF Register Number
/// Mapping"): rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15, and the return address.
const DWARF: [usize; 17] = [
    RAX, RDX, RCX, RBX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15, RIP,
];

/// Offset of the stack pointer in `ucontext_t` (arch/x86/include/uapi/asm/sigcontext.h).
pub(super) const INTERRUPTED_SP: usize = 40 + 15 * 8;
/// The flags that the kernel sets in it: `UC_FP_XSTATE`, `UC_SIGCONTEXT_SS`, `UC_STRICT_RESTORE_SS`.
pub(super) const FLAGS_OF_SIGNAL_FRAME: u64 = 7;

/// `-EINTR` as a system call leaves it in rax.
const INTERRUPTED: u64 = -(libc::EINTR as i64) as u64;
/// `-ERESTARTNOHAND`, kernel-internal (include/linux/errno.h): restart unless a handler runs.
const RESTART_UNLESS_HANDLED: u64 = -514_i64 as u64;
/// What an interrupted system call leaves in rax while its thread is in a stop (include/linux/errno.h): `ERESTARTSYS`,
/// `ERESTARTNOINTR`, `ERESTARTNOHAND`, `ERESTART_RESTARTBLOCK`.
const RESTARTS: [i64; 4] = [-512, -513, -514, -516];

/// The general registers of one stopped thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GeneralRegisters(pub(super) [u64; 27]);

impl GeneralRegisters {
    /// Size of the set, bytes.
    pub const SIZE: usize = 27 * 8;

    /// Reads the kernel's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForeignRegisters> {
        if bytes.len() != Self::SIZE {
            return Err(ForeignRegisters {
                found: bytes.len(),
                expected: Self::SIZE,
            });
        }
        let mut values = [0; 27];
        for (value, chunk) in values.iter_mut().zip(bytes.chunks_exact(8)) {
            *value = chunk
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Ok(Self(values))
    }

    /// The kernel's bytes again.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Program counter.
    pub fn pc(&self) -> u64 {
        self.0[RIP]
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        self.0[RSP]
    }

    /// Frame pointer, where the code keeps one.
    pub fn frame_pointer(&self) -> u64 {
        self.0[RBP]
    }

    /// Where the C library keeps what belongs to the thread, if the set tells.
    pub fn thread_pointer(&self) -> Option<u64> {
        self.get("fs_base")
    }

    /// Names and values in reading order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        READING_ORDER.iter().map(|&index| (NAMES[index], self.0[index]))
    }

    /// The value of the register of that name.
    pub fn get(&self, name: &str) -> Option<u64> {
        NAMES
            .iter()
            .position(|known| *known == name)
            .map(|index| self.0[index])
    }

    /// How many registers have a DWARF number; they count from 0 without gaps.
    pub const DWARF_COUNT: usize = DWARF.len();

    /// The register that DWARF gives that number; the program counter has the return address's.
    pub fn dwarf(&self, number: usize) -> Option<u64> {
        DWARF.get(number).map(|&index| self.0[index])
    }

    /// Sets the register that DWARF gives that number; nothing happens where there is none.
    pub fn set_dwarf(&mut self, number: usize, value: u64) {
        if let Some(&index) = DWARF.get(number) {
            self.0[index] = value;
        }
    }

    /// Registers that may hold a data pointer, for a look at the memory around them.
    pub fn pointers(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.named().filter(|(name, _)| {
            !matches!(
                *name,
                "eflags" | "orig_rax" | "cs" | "ss" | "ds" | "es" | "fs" | "gs" | "gs_base"
            )
        })
    }

    /// The system call that the thread is inside, if it stopped in one.
    pub fn system_call(&self) -> Option<SystemCall> {
        let number = self.0[ORIG_RAX];
        ((number as i64) >= 0).then(|| SystemCall {
            number,
            args: [
                self.0[RDI],
                self.0[RSI],
                self.0[RDX],
                self.0[R10],
                self.0[R8],
                self.0[R9],
            ],
        })
    }

    /// The system call that the thread waits in: one that this stop interrupted, and that has not returned anything.
    pub fn blocked_call(&self) -> Option<SystemCall> {
        let interrupted = RESTARTS.contains(&(self.0[RAX] as i64)) || self.0[RAX] == INTERRUPTED;
        self.system_call().filter(|_| interrupted)
    }

    /// Makes a system call that this stop interrupted restart unless a handler runs; returns whether there
    /// was one to repair.
    ///
    /// A traced thread stops even for signals it ignores, and then calls such as `epoll_wait(2)` have
    /// already returned `EINTR`, which nobody would have seen untraced. With `-ERESTARTNOHAND` in its place
    /// the kernel (`arch_do_signal_or_restart`) goes back into the call when the signal has no handler, and
    /// still reports `EINTR` when it has one. A relative timeout starts again from its full value.
    ///
    /// `close(2)` has released its descriptor by the time it reports `EINTR`, and must not be repeated: the number may
    /// belong to another file by then.
    pub fn restart_interrupted_call(&mut self) -> bool {
        let number = self.0[ORIG_RAX] as i64;
        let interrupted = number >= 0 && number != libc::SYS_close && self.0[RAX] == INTERRUPTED;
        if interrupted {
            self.0[RAX] = RESTART_UNLESS_HANDLED;
        }
        interrupted
    }

    /// Sets what the system call that the thread is in returns.
    pub fn set_result(&mut self, result: i64) {
        self.0[RAX] = result as u64;
    }

    /// Sets the register of that name; nothing happens where there is none.
    pub fn set(&mut self, name: &str, value: u64) {
        if let Some(index) = NAMES.iter().position(|known| *known == name) {
            self.0[index] = value;
        }
    }

    /// A set with the given values and zero elsewhere, for tests of pure code.
    pub fn from_named(values: &[(&str, u64)]) -> Self {
        let mut registers = Self([0; 27]);
        registers.0[ORIG_RAX] = u64::MAX;
        for (name, value) in values {
            if let Some(index) = NAMES.iter().position(|known| known == name) {
                registers.0[index] = *value;
            }
        }
        registers
    }
}

/// Size of `struct user_regs_struct32` (arch/x86/include/asm/user32.h), bytes, and where it keeps eax and orig_eax.
const SIZE_32: usize = 17 * 4;
const EAX: usize = 6 * 4;
const ORIG_EAX: usize = 11 * 4;
/// `close(2)` in the table of i386 (arch/x86/entry/syscalls/syscall_32.tbl).
const CLOSE_32: i32 = 6;

/// As [`GeneralRegisters::restart_interrupted_call`], for a program of 32 bits.
pub fn restart_foreign_call(set: &mut [u8]) -> bool {
    let word = |set: &[u8], at: usize| Some(i32::from_le_bytes(set.get(at..at + 4)?.try_into().ok()?));
    let (Some(number), Some(result)) = (word(set, ORIG_EAX), word(set, EAX)) else {
        return false;
    };
    let interrupted = set.len() == SIZE_32 && number >= 0 && number != CLOSE_32 && result == -libc::EINTR;
    if interrupted {
        set[EAX..EAX + 4].copy_from_slice(&(RESTART_UNLESS_HANDLED as u32).to_le_bytes());
    }
    interrupted
}

/// How much code in front of the program counter [`call_before`] wants, bytes.
pub const CALL_SITE: usize = 7;

/// The number of the system call that this code makes, if it ends in `mov eax, NUMBER; syscall`, as the C library's
/// own calls do.
pub fn call_before(code: &[u8]) -> Option<u64> {
    match *code {
        [0xb8, a, b, c, d, 0x0f, 0x05] => Some(u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// Offsets in the FXSAVE image (Intel SDM volume 1, 10.5.1).
const FXSAVE_FCW: usize = 0;
const FXSAVE_FSW: usize = 2;
const FXSAVE_MXCSR: usize = 24;
const FXSAVE_ST0: usize = 32;
const FXSAVE_XMM0: usize = 160;
/// XCR0, in the part of the image that software may use; the kernel fills it (`user_xstateregs`).
const XSAVE_XCR0: usize = 464;
/// Upper halves of ymm0 to ymm15 in the standard layout (Intel SDM volume 1, 13.4.2).
const XSAVE_YMM_HIGH: usize = 576;
const XCR0_AVX: u64 = 1 << 2;

/// Names and little-endian bytes of the x87, SSE and AVX registers in `fp` (`NT_PRFPREG`) and `extended`
/// (`NT_X86_XSTATE`, may be empty). Components beyond AVX stay in the raw set.
pub fn vector_registers(fp: &[u8], extended: &[u8]) -> Vec<(String, Vec<u8>)> {
    let image = if extended.len() >= 512 { extended } else { fp };
    let take = |offset: usize, size: usize| image.get(offset..offset + size).map(<[u8]>::to_vec);
    let mut named = Vec::with_capacity(44);
    let mut push = |name: String, value: Option<Vec<u8>>| named.extend(value.map(|value| (name, value)));
    push("fcw".into(), take(FXSAVE_FCW, 2));
    push("fsw".into(), take(FXSAVE_FSW, 2));
    push("mxcsr".into(), take(FXSAVE_MXCSR, 4));
    for n in 0..8 {
        push(format!("st{n}"), take(FXSAVE_ST0 + 16 * n, 10));
    }
    let components = extended.get(XSAVE_XCR0..XSAVE_XCR0 + 8).map_or(0, |bytes| {
        bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    });
    for n in 0..16 {
        let low = take(FXSAVE_XMM0 + 16 * n, 16);
        let high = (components & XCR0_AVX != 0)
            .then(|| take(XSAVE_YMM_HIGH + 16 * n, 16))
            .flatten();
        match (low, high) {
            (Some(mut low), Some(high)) => {
                low.extend(high);
                push(format!("ymm{n}"), Some(low));
            }
            (low, _) => push(format!("xmm{n}"), low),
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_and_foreign_sets_are_refused() {
        let registers = GeneralRegisters::from_named(&[("rip", 0x1234), ("rsp", 0x7fff_0000), ("rdi", 8)]);
        assert_eq!(
            GeneralRegisters::from_bytes(&registers.to_bytes()),
            Ok(registers.clone())
        );
        assert_eq!(
            (registers.pc(), registers.sp(), registers.get("rdi")),
            (0x1234, 0x7fff_0000, Some(8))
        );
        assert!(GeneralRegisters::from_bytes(&[0; 68]).is_err());
    }

    #[test]
    fn every_register_is_shown_once() {
        let mut order = READING_ORDER;
        order.sort_unstable();
        assert!(order.iter().enumerate().all(|(at, index)| at == *index));
    }

    #[test]
    fn dwarf_numbers_name_the_registers_of_the_abi() {
        let abi = [
            "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15", "rip",
        ];
        let mut registers = GeneralRegisters::from_named(&[]);
        for (number, name) in abi.iter().enumerate() {
            registers.set_dwarf(number, number as u64 + 1);
            assert_eq!(registers.get(name), registers.dwarf(number), "{name}");
            assert_eq!(registers.get(name), Some(number as u64 + 1), "{name}");
        }
        assert_eq!(registers.dwarf(GeneralRegisters::DWARF_COUNT), None);
    }

    #[test]
    fn only_an_interrupted_call_is_repaired() {
        let mut inside = GeneralRegisters::from_named(&[("orig_rax", 232), ("rax", INTERRUPTED)]);
        assert!(inside.restart_interrupted_call());
        assert_eq!(inside.get("rax"), Some(RESTART_UNLESS_HANDLED));
        let mut outside = GeneralRegisters::from_named(&[("rax", INTERRUPTED)]);
        assert!(!outside.restart_interrupted_call());
        let mut finished = GeneralRegisters::from_named(&[("orig_rax", 232), ("rax", 1)]);
        assert!(!finished.restart_interrupted_call());
        let closed = &[("orig_rax", libc::SYS_close as u64), ("rax", INTERRUPTED)];
        assert!(!GeneralRegisters::from_named(closed).restart_interrupted_call());
    }

    #[test]
    fn calls_of_32_bits_are_repaired_as_well() {
        let set = |number: i32, result: i32| {
            let mut set = [0; SIZE_32];
            set[ORIG_EAX..ORIG_EAX + 4].copy_from_slice(&number.to_le_bytes());
            set[EAX..EAX + 4].copy_from_slice(&result.to_le_bytes());
            set
        };
        let mut inside = set(256, -libc::EINTR);
        assert!(restart_foreign_call(&mut inside));
        assert_eq!(inside, set(256, -514));
        for (number, result) in [(-1, -libc::EINTR), (256, 1), (CLOSE_32, -libc::EINTR)] {
            assert!(
                !restart_foreign_call(&mut set(number, result)),
                "{number} {result}"
            );
        }
        assert!(!restart_foreign_call(&mut [0; 3]));
    }

    #[test]
    fn a_call_that_has_returned_is_not_waited_in() {
        let futex =
            |rax: i64| GeneralRegisters::from_named(&[("orig_rax", 202), ("rax", rax as u64), ("rdi", 8)]);
        for waiting in [-4, -512, -514, -516] {
            assert_eq!(
                futex(waiting).blocked_call().map(|call| call.args[0]),
                Some(8),
                "{waiting}"
            );
        }
        assert_eq!(futex(0).blocked_call(), None);
        assert_eq!(futex(-110).blocked_call(), None);
        assert!(futex(0).system_call().is_some());
    }

    #[test]
    fn the_call_before_is_read_from_its_code() {
        assert_eq!(call_before(&[0xb8, 0xca, 0, 0, 0, 0x0f, 0x05]), Some(202));
        assert_eq!(call_before(&[0x48, 0x89, 0xf8, 0, 0, 0x0f, 0x05]), None);
        assert_eq!(call_before(&[0x0f, 0x05]), None);
    }

    #[test]
    fn avx_registers_join_their_halves() {
        let mut area = vec![0; 832];
        area[XSAVE_XCR0] = 7;
        area[FXSAVE_XMM0] = 0x11;
        area[XSAVE_YMM_HIGH] = 0x22;
        let named = vector_registers(&[], &area);
        let (_, ymm0) = named.iter().find(|(name, _)| name == "ymm0").unwrap();
        assert_eq!((ymm0[0], ymm0[16], ymm0.len()), (0x11, 0x22, 32));
    }
}
