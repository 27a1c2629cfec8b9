//! One capture per cause, made by hand. x86-64 code, so only there.
#![cfg(target_arch = "x86_64")]

use proptest::prelude::*;

use super::elf::tests::Bytes;
use super::*;
use crate::capture::{MemoryRange, ModuleFile, Purpose, StackRange, ThreadFacts};
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::{SI_QUEUE, SI_TKILL, SigInfo};

const PID: i32 = 4711;
const TID: Tid = Tid(4728);
const PC: u64 = 0x40_1100;
const SP: u64 = 0x7ffc_0001_0000;

const MAPS: &str = "\
00400000-00401000 r--p 00000000 fe:00 1234 /usr/bin/prog
00401000-00402000 r-xp 00001000 fe:00 1234 /usr/bin/prog
00402000-00403000 r--p 00002000 fe:00 1234 /usr/bin/prog
00403000-00404000 rw-p 00003000 fe:00 1234 /usr/bin/prog
01000000-01021000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000001000 ---p 00000000 00:00 0
7f0000001000-7f0000011000 rw-p 00000000 00:00 0
7f0000100000-7f0000200000 ---p 00000000 00:00 0
7f1000000000-7f1000003000 rw-s 00004000 fe:00 99 /var/lib/data
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
";

/// mov dword ptr [rdi+8], 2ah
const STORE: &[u8] = &[0xc7, 0x47, 0x08, 0x2a, 0, 0, 0];
/// mov eax, [rdi]
const LOAD: &[u8] = &[0x8b, 0x07];
/// push rax
const PUSH: &[u8] = &[0x50];

/// A capture of one fault in the making.
struct Case {
    capture: Capture,
    signal: SigNo,
    registers: Vec<(&'static str, u64)>,
}

impl Case {
    fn new(signal: SigNo, code: i32, address: u64) -> Self {
        let mut capture = Capture::default();
        capture.facts.process.pid = PID;
        capture.facts.process.maps = Some(capture.keep(MAPS.as_bytes()));
        let info = capture.keep(SigInfo::new(signal, code, address).as_bytes());
        capture.facts.fault = Some(FaultFacts {
            tid: TID,
            signal,
            siginfo: Some(info),
            precursor: None,
            sender_comm: None,
            abort_message: None,
        });
        Self {
            capture,
            signal,
            registers: vec![("rip", PC), ("rsp", SP)],
        }
    }

    /// A signal that a process sent.
    fn sent(signal: SigNo, code: i32, pid: i32) -> Self {
        Self::new(signal, code, 1000 << 32 | pid as u64)
    }

    fn with(mut self, register: &'static str, value: u64) -> Self {
        self.registers.push((register, value));
        self
    }

    fn code(mut self, code: &[u8]) -> Self {
        let pc = self
            .registers
            .iter()
            .rev()
            .find(|(name, _)| *name == "rip")
            .map_or(PC, |(_, pc)| *pc);
        self.memory(Purpose::Code, pc, code);
        self
    }

    fn memory(&mut self, purpose: Purpose, start: u64, bytes: &[u8]) {
        let data = self.capture.keep(bytes);
        self.capture
            .facts
            .memory
            .push(MemoryRange { purpose, start, data });
    }

    fn fault(&mut self) -> &mut FaultFacts {
        self.capture.facts.fault.as_mut().unwrap()
    }

    fn message(mut self, text: &str) -> Self {
        let message = self.capture.keep(text.as_bytes());
        self.fault().abort_message = Some(message);
        self
    }

    fn comm(mut self, name: &str) -> Self {
        self.fault().sender_comm = Some(name.to_owned());
        self
    }

    fn precursor(mut self, first: Self) -> Self {
        let general = self
            .capture
            .keep(&GeneralRegisters::from_named(&first.registers).to_bytes());
        let siginfo = self.capture.keep(first.capture.siginfo().unwrap().as_bytes());
        for range in &first.capture.facts.memory {
            self.memory(Purpose::PrecursorCode, range.start, first.capture.get(range.data));
        }
        self.fault().precursor = Some(Precursor {
            tid: TID,
            signal: first.signal,
            siginfo,
            general,
            before_us: 40,
        });
        self
    }

    fn stack(mut self, words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let data = self.capture.keep(&bytes);
        let general = self
            .capture
            .keep(&GeneralRegisters::from_named(&self.registers).to_bytes());
        self.capture.facts.threads = vec![ThreadFacts {
            tid: TID,
            name: None,
            stat: None,
            general: Some(general),
            fp: None,
            extended: None,
            stack: Some(StackRange {
                pointer: SP,
                low: 0x7ffc_0000_0000,
                high: 0x7ffc_0002_1000,
                start: SP,
                data,
            }),
        }];
        self
    }

    fn diagnose(self) -> Diagnosis {
        let with_thread = if self.capture.facts.threads.is_empty() {
            self.stack(&[])
        } else {
            self
        };
        diagnose(&with_thread.capture, &NoModules).unwrap()
    }

    /// Cause, access and sentence.
    fn told(self) -> (Cause, Option<Access>, String) {
        let diagnosis = self.diagnose();
        (diagnosis.cause, diagnosis.access, diagnosis.detail)
    }

    fn cause(self) -> Cause {
        self.diagnose().cause
    }
}

fn segv(code: i32, address: u64) -> Case {
    Case::new(SigNo::SEGV, code, address)
}

#[test]
fn null_pointers_are_told_with_instruction_and_register() {
    let write = segv(1, 8).with("rdi", 0).code(STORE).diagnose();
    assert_eq!(
        write.detail,
        "null pointer write: `mov dword ptr [rdi+8], 2ah`, rdi = 0x0"
    );
    assert_eq!(
        (write.cause, write.access),
        (Cause::NullDereference, Some(Access::Write))
    );
    assert_eq!(
        (write.pc, write.address, write.subject_tid),
        (Some(PC), Some(8), Some(TID))
    );
    assert_eq!(write.instruction.unwrap().bytes, STORE);
    let read = segv(1, 0).with("rdi", 0).code(LOAD).told();
    assert_eq!(
        read,
        (
            Cause::NullDereference,
            Some(Access::Read),
            "null pointer read: `mov eax, [rdi]`, eax = 0x0, rdi = 0x0".into()
        )
    );
    let bare = segv(1, 0xffff).told();
    assert_eq!(
        (bare.0, bare.1),
        (Cause::NullDereference, None),
        "without code the access is unknown"
    );
}

#[test]
fn jumps_are_told_by_where_they_end() {
    let null = segv(1, 0).with("rip", 0).stack(&[PC]).told();
    assert_eq!(
        null,
        (
            Cause::JumpToNull,
            Some(Access::Execute),
            format!("jump to null: the program counter is 0x0, called from before {PC:#x}")
        )
    );
    let unmapped = segv(1, 0x1234_5678).with("rip", 0x1234_5678).told();
    assert_eq!(
        (unmapped.0, unmapped.1),
        (Cause::JumpToUnmapped, Some(Access::Execute))
    );
    let data = segv(2, 0x100_0010)
        .with("rip", 0x100_0010)
        .code(&[0x90; 16])
        .told();
    assert_eq!(
        (data.0, data.1),
        (Cause::ExecuteNonExecutable, Some(Access::Execute))
    );
    assert!(data.2.contains("[heap] (rw-p)"), "{}", data.2);
    let falls_off = segv(1, 0x40_2000)
        .with("rip", 0x40_1ffe)
        .code(&[0x48, 0xb8])
        .told();
    assert_eq!(
        falls_off.1,
        Some(Access::Execute),
        "an instruction that crosses into the next page"
    );
}

#[test]
fn wild_pointers_are_told_by_what_is_there() {
    let wild = |code, address| segv(code, address).with("rdi", address).code(LOAD).told();
    assert_eq!(wild(1, 0x5000_0000).0, Cause::UnmappedAccess);
    assert_eq!(wild(2, 0x7f00_0010_0000).0, Cause::ProtectedAccess);
    assert_eq!(wild(4, 0x100_0000).0, Cause::ProtectionKey);
    assert_eq!(wild(9, 0x100_0000).0, Cause::TagMismatch);
    assert_eq!(wild(10, 0x100_0000).0, Cause::ControlFlow);
    let constant = segv(2, 0x40_2010).with("rdi", 0x40_2008).code(STORE).told();
    assert_eq!(
        (constant.0, constant.1),
        (Cause::WriteToReadOnly, Some(Access::Write))
    );
    assert!(
        constant.2.ends_with("0x402010 is in /usr/bin/prog (r--p)"),
        "{}",
        constant.2
    );
    let own_code = segv(2, PC + 8).with("rdi", PC).code(STORE).told();
    assert_eq!(
        (own_code.0, own_code.1),
        (Cause::WriteToReadOnly, Some(Access::Write))
    );
    let undecoded = segv(2, 0x40_2010).told();
    assert_eq!(
        (undecoded.0, undecoded.1),
        (Cause::WriteToReadOnly, Some(Access::Write)),
        "what may be read was written"
    );
}

#[test]
fn a_stack_overflow_is_in_the_frame_and_in_the_guard() {
    let low = 0x7f00_0000_1000;
    let pushed = |sp: u64| segv(2, sp - 8).with("rsp", sp).code(PUSH);
    let thread = pushed(low).told();
    assert_eq!((thread.0, thread.1), (Cause::StackOverflow, Some(Access::Write)));
    assert!(
        thread.2.contains("the stack of 64 KiB at 0x7f0000001000"),
        "{}",
        thread.2
    );
    let main = segv(1, 0x7ffb_ffff_fff8).with("rsp", 0x7ffc_0000_0000).code(PUSH);
    assert_eq!(main.cause(), Cause::StackOverflow);
    let large_frame = segv(1, 0x7ffb_ffff_0010).with("rsp", 0x7ffb_fff0_0000);
    assert_eq!(large_frame.cause(), Cause::StackOverflow);
    let handler_failed = segv(0x80, 0).with("rsp", low).code(PUSH);
    assert_eq!(handler_failed.cause(), Cause::StackOverflow);
    let wild_into_guard = segv(2, low - 8)
        .with("rsp", low + 0x8000)
        .with("rdi", low - 8)
        .code(LOAD);
    assert_eq!(
        wild_into_guard.cause(),
        Cause::ProtectedAccess,
        "the frame is elsewhere"
    );
    let wild_below_heap = segv(1, 0xff_fff8).with("rsp", 0x100_0000).code(PUSH);
    assert_eq!(
        wild_below_heap.cause(),
        Cause::UnmappedAccess,
        "the heap is no stack"
    );
}

#[test]
fn non_canonical_addresses_come_from_the_instruction() {
    const WILD: u64 = 0xdead_beef_0000_0000;
    let load = segv(0x80, 0).with("rdi", WILD).code(LOAD).told();
    assert_eq!((load.0, load.1), (Cause::NonCanonical, Some(Access::Read)));
    assert!(load.2.contains("rdi = 0xdeadbeef00000000"), "{}", load.2);
    let call = segv(0x80, 0).with("rax", WILD).code(&[0xff, 0xd0]).told();
    assert_eq!((call.0, call.1), (Cause::NonCanonical, Some(Access::Execute)));
    let ret = segv(0x80, 0).code(&[0xc3]).stack(&[WILD]).told();
    assert_eq!((ret.0, ret.1), (Cause::NonCanonical, Some(Access::Execute)));
    let pc = segv(0x80, 0).with("rip", WILD).told();
    assert_eq!((pc.0, pc.1), (Cause::NonCanonical, Some(Access::Execute)));
    let by_stack = Case::new(SigNo::BUS, 0x80, 0).with("rsp", WILD).code(PUSH).told();
    assert_eq!(
        (by_stack.0, by_stack.1),
        (Cause::NonCanonical, Some(Access::Write))
    );
}

#[test]
fn general_protection_has_other_reasons_too() {
    assert_eq!(segv(0x80, 0).code(&[0xf4]).cause(), Cause::PrivilegedInstruction);
    let movaps = segv(0x80, 0)
        .with("rdi", 0x100_0001)
        .code(&[0x0f, 0x28, 0x07])
        .told();
    assert_eq!((movaps.0, movaps.1), (Cause::Misaligned, Some(Access::Read)));
    assert!(movaps.2.ends_with("no multiple of 16"), "{}", movaps.2);
    assert_eq!(segv(0x80, 0).code(&[0x90]).cause(), Cause::GeneralProtection);
    assert_eq!(segv(0x80, 0).cause(), Cause::GeneralProtection);
}

#[test]
fn bus_errors_are_told_apart() {
    let bus = |code, address| {
        Case::new(SigNo::BUS, code, address)
            .with("rdi", address)
            .code(LOAD)
    };
    let past = bus(2, 0x7f10_0000_2010).told();
    assert_eq!((past.0, past.1), (Cause::PastEndOfFile, Some(Access::Read)));
    assert!(
        past.2
            .ends_with("offset 0x6010 in /var/lib/data, which is shorter"),
        "{}",
        past.2
    );
    assert_eq!(bus(2, 0x100_0000).cause(), Cause::BusError);
    assert_eq!(bus(4, 0x100_0000).cause(), Cause::MemoryError);
    assert_eq!(bus(5, 0x100_0000).cause(), Cause::MemoryError);
    assert_eq!(bus(3, 0x100_0000).cause(), Cause::BusError);
    let unaligned = Case::new(SigNo::BUS, 1, 0)
        .with("rdi", 0x100_0001)
        .code(LOAD)
        .diagnose();
    assert_eq!(
        (unaligned.cause, unaligned.address),
        (Cause::Misaligned, Some(0x100_0001))
    );
}

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
            "divide by zero: `idiv ecx`, ecx = 0x0".into()
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

#[test]
fn aborts_are_told_by_their_message() {
    let abort = || Case::sent(SigNo::ABRT, SI_TKILL, PID);
    let freed = abort()
        .message("free(): double free detected in tcache 2\n")
        .diagnose();
    assert_eq!(freed.cause, Cause::HeapCorruption);
    assert_eq!(
        freed.detail,
        "heap corruption: free(): double free detected in tcache 2"
    );
    assert_eq!(
        freed.abort_message.as_deref(),
        Some("free(): double free detected in tcache 2")
    );
    assert_eq!(abort().cause(), Cause::Abort);
    let strange = abort().message("giving up").told();
    assert_eq!((strange.0, strange.2), (Cause::Abort, "abort: giving up".into()));
}

#[test]
fn an_abort_without_message_is_told_by_the_stack() {
    let program = Bytes(vec![std::fs::read("/proc/self/exe").unwrap()]);
    let image = Image::open(&program, 0).unwrap();
    let mut panicking = None;
    image
        .for_each_function(|name, address, size| {
            if name.windows(10).any(|part| part == b"9panicking") {
                panicking = panicking.or((size > 8).then_some(address));
            }
        })
        .unwrap();
    let address = panicking.unwrap();
    // Mapped so that an offset in the file is found at BASE + offset.
    const BASE: u64 = 0x5555_0000_0000;
    let offset = (0..program.0[0].len() as u64)
        .step_by(4096)
        .find_map(|page| {
            let start = image.address_of_offset(page).ok()??;
            (start <= address && address < start + 4096).then(|| page + address - start)
        })
        .unwrap();
    let mut case = Case::sent(SigNo::ABRT, SI_TKILL, PID).stack(&[1, 2, BASE + offset + 4, 3]);
    let maps = format!("{BASE:x}-{:x} r-xp 00000000 fe:00 77 /test\n", BASE + (1 << 32));
    let maps = case.capture.keep(maps.as_bytes());
    case.capture.facts.process.maps = Some(maps);
    case.capture.facts.modules.push(ModuleFile {
        path: "/test".into(),
        low: BASE,
        high: BASE + (1 << 32),
        offset: 0,
        device: (0xfe, 0),
        inode: 77,
        descriptor: Some(0),
    });
    let found = diagnose(&case.capture, &program).unwrap();
    assert_eq!(
        (found.cause, found.detail.as_str()),
        (Cause::RustPanic, "Rust panic, seen on the stack")
    );
    assert_eq!(diagnose(&case.capture, &NoModules).unwrap().cause, Cause::Abort);
}

#[test]
fn senders_are_named() {
    let term = Case::sent(SigNo::TERM, 0, 812).comm("kill").told();
    assert_eq!(
        (term.0, term.2),
        (
            Cause::SentByProcess,
            "SIGTERM was sent by kill (pid 812, uid 1000)".into()
        )
    );
    let segv = Case::sent(SigNo::SEGV, SI_QUEUE, 812).told();
    assert_eq!(
        (segv.0, segv.2),
        (
            Cause::SentByProcess,
            "SIGSEGV was sent by pid 812 (uid 1000)".into()
        )
    );
    assert_eq!(
        Case::sent(SigNo::SEGV, SI_TKILL, PID).cause(),
        Cause::RaisedByItself
    );
    assert_eq!(Case::sent(SigNo::ABRT, 0, 812).cause(), Cause::SentByProcess);
    assert_eq!(
        Case::sent(SigNo::ABRT, 0, 1).comm("systemd").cause(),
        Cause::Watchdog
    );
    let outside = Case::sent(SigNo::TERM, 0, 0).told();
    assert!(
        outside.2.contains("outside of its pid namespace"),
        "{}",
        outside.2
    );
}

#[test]
fn a_process_knows_itself_by_its_inner_id() {
    let mut case = Case::sent(SigNo::SEGV, SI_TKILL, 7);
    let status = case.capture.keep(b"Name:\tprog\nNSpid:\t4711\t7\n");
    case.capture.facts.process.status = Some(status);
    assert_eq!(case.cause(), Cause::RaisedByItself);
}

#[test]
fn the_kernels_own_signals_are_told_by_the_call_they_interrupt() {
    let by_kernel = |number, code| Case::sent(SigNo(number), code, PID).with("orig_rax", 1).cause();
    assert_eq!(by_kernel(libc::SIGPIPE, 0), Cause::BrokenPipe);
    assert_eq!(by_kernel(libc::SIGXFSZ, 0), Cause::FileSizeLimit);
    let killed_itself = Case::sent(SigNo(libc::SIGPIPE), 0, PID).with("orig_rax", libc::SYS_kill as u64);
    assert_eq!(killed_itself.cause(), Cause::RaisedByItself);
    assert_eq!(by_kernel(libc::SIGXFSZ, SI_TKILL), Cause::RaisedByItself);
    let from_kernel = |number, code| Case::new(SigNo(number), code, 0).cause();
    assert_eq!(from_kernel(libc::SIGXCPU, 0x80), Cause::CpuTimeLimit);
    assert_eq!(from_kernel(libc::SIGALRM, 0x80), Cause::Timer);
    assert_eq!(from_kernel(40, -2), Cause::Timer);
    assert_eq!(from_kernel(libc::SIGQUIT, 0x80), Cause::Terminal);
    assert_eq!(from_kernel(libc::SIGIO, -5), Cause::RaisedByKernel);
    assert_eq!(from_kernel(libc::SIGSYS, 0x80), Cause::DispatchedSystemCall);
}

#[test]
fn the_first_fault_is_told_and_not_the_handlers_second() {
    let first = || segv(1, 8).with("rdi", 0).code(STORE);
    let raised = Case::sent(SigNo::SEGV, SI_TKILL, PID)
        .with("rip", 0x40_1ff0)
        .precursor(first())
        .diagnose();
    assert_eq!(raised.cause, Cause::NullDereference);
    assert!(
        raised.detail.ends_with("; the program's own handler ran first"),
        "{}",
        raised.detail
    );
    assert_eq!((raised.pc, raised.access), (Some(PC), Some(Access::Write)));
    let not_entered = segv(0x80, 0).precursor(first()).told();
    assert_eq!(not_entered.0, Cause::NullDereference);
    assert!(
        not_entered
            .2
            .ends_with("; the program's own handler could not be entered"),
        "{}",
        not_entered.2
    );
    let other = Case::sent(SigNo::TERM, 0, 812).precursor(first());
    assert_eq!(
        other.cause(),
        Cause::SentByProcess,
        "an old, handled fault explains nothing"
    );
    let sent = Case::sent(SigNo::SEGV, 0, 812).precursor(first());
    assert_eq!(sent.cause(), Cause::SentByProcess);
    let fresh = segv(1, 0x5000_0000)
        .with("rdi", 0x5000_0000)
        .code(LOAD)
        .precursor(first());
    assert_eq!(fresh.cause(), Cause::UnmappedAccess);
}

#[test]
fn little_is_enough() {
    assert_eq!(diagnose(&Capture::default(), &NoModules), None);
    let mut bare = Case::new(SigNo::SEGV, 1, 8);
    bare.fault().siginfo = None;
    bare.capture.facts.process.maps = None;
    assert_eq!(diagnose(&bare.capture, &NoModules).unwrap().cause, Cause::Unknown);
}

proptest! {
    #[test]
    fn no_capture_is_too_strange(
        signal in 1..65_i32,
        code in prop_oneof![-8..12_i32, Just(0x80), any::<i32>()],
        address in prop_oneof![0..0x10000_u64, Just(SP - 8), any::<u64>()],
        values in proptest::collection::vec(prop_oneof![Just(SP), Just(0), any::<u64>()], 27),
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
        message in proptest::collection::vec(any::<u8>(), 0..64),
        words in proptest::collection::vec(prop_oneof![Just(PC), any::<u64>()], 0..16),
    ) {
        let mut case = Case::new(SigNo(signal), code, address).code(&bytes).stack(&words);
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let raw = case.capture.keep(&raw);
        case.capture.facts.threads[0].general = Some(raw);
        case.memory(Purpose::Code, values[16], &bytes);
        let message = case.capture.keep(&message);
        case.fault().abort_message = Some(message);
        let found = diagnose(&case.capture, &NoModules).unwrap();
        prop_assert!(!found.detail.is_empty() && found.detail.len() < 1024, "{}", found.detail);
    }
}
