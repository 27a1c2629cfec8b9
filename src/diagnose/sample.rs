//! Captures for tests, made by hand: one fault each, on x86-64.

use super::{Access, Cause, Diagnosis, NoModules, diagnose};
use crate::capture::maps::Maps;
use crate::capture::{Capture, FaultFacts, MemoryRange, Precursor, Purpose, StackRange, ThreadFacts};
use crate::sys::regs::GeneralRegisters;
use crate::sys::signal::SigInfo;
use crate::sys::{SigNo, Tid};

pub(super) const PID: i32 = 4711;
pub(super) const TID: Tid = Tid(4728);
pub(super) const PC: u64 = 0x40_1100;
pub(super) const SP: u64 = 0x7ffc_0001_0000;

pub(super) const MAPS: &str = "\
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
pub(super) const STORE: &[u8] = &[0xc7, 0x47, 0x08, 0x2a, 0, 0, 0];
/// mov eax, [rdi]
pub(super) const LOAD: &[u8] = &[0x8b, 0x07];
/// push rax
pub(super) const PUSH: &[u8] = &[0x50];

/// A capture of one fault in the making.
pub(super) struct Case {
    pub(super) capture: Capture,
    pub(super) signal: SigNo,
    pub(super) registers: Vec<(&'static str, u64)>,
}

impl Case {
    pub(super) fn new(signal: SigNo, code: i32, address: u64) -> Self {
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
            exception: None,
            panic: None,
        });
        Self {
            capture,
            signal,
            registers: vec![("rip", PC), ("rsp", SP)],
        }
    }

    /// A signal that a process sent.
    pub(super) fn sent(signal: SigNo, code: i32, pid: i32) -> Self {
        Self::new(signal, code, 1000 << 32 | pid as u64)
    }

    pub(super) fn with(mut self, register: &'static str, value: u64) -> Self {
        self.registers.push((register, value));
        self
    }

    pub(super) fn code(mut self, code: &[u8]) -> Self {
        let pc = self
            .registers
            .iter()
            .rev()
            .find(|(name, _)| *name == "rip")
            .map_or(PC, |(_, pc)| *pc);
        self.memory(Purpose::Code, pc, code);
        self
    }

    pub(super) fn memory(&mut self, purpose: Purpose, start: u64, bytes: &[u8]) {
        let data = self.capture.keep(bytes);
        self.capture
            .facts
            .memory
            .push(MemoryRange { purpose, start, data });
    }

    pub(super) fn fault(&mut self) -> &mut FaultFacts {
        self.capture.facts.fault.as_mut().unwrap()
    }

    pub(super) fn message(mut self, text: &str) -> Self {
        let message = self.capture.keep(text.as_bytes());
        self.fault().abort_message = Some(message);
        self
    }

    pub(super) fn comm(mut self, name: &str) -> Self {
        self.fault().sender_comm = Some(name.to_owned());
        self
    }

    pub(super) fn precursor(mut self, first: Self) -> Self {
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

    pub(super) fn stack(mut self, words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let data = self.capture.keep(&bytes);
        let general = self
            .capture
            .keep(&GeneralRegisters::from_named(&self.registers).to_bytes());
        self.capture.facts.threads = vec![ThreadFacts {
            general: Some(general),
            stack: Some(StackRange {
                pointer: SP,
                low: 0x7ffc_0000_0000,
                high: 0x7ffc_0002_1000,
                start: SP,
                data,
            }),
            ..ThreadFacts::new(TID)
        }];
        self
    }

    pub(super) fn diagnose(self) -> Diagnosis {
        let with_thread = if self.capture.facts.threads.is_empty() {
            self.stack(&[])
        } else {
            self
        };
        explained(&with_thread.capture)
    }

    /// Cause, access and sentence.
    pub(super) fn told(self) -> (Cause, Option<Access>, String) {
        let diagnosis = self.diagnose();
        (diagnosis.cause, diagnosis.access, diagnosis.detail)
    }

    pub(super) fn cause(self) -> Cause {
        self.diagnose().cause
    }
}

/// What is said about a capture with a fault, without its modules.
pub(super) fn explained(capture: &Capture) -> Diagnosis {
    diagnose(capture, &Maps::of(capture), &NoModules).unwrap()
}

pub(super) fn segv(code: i32, address: u64) -> Case {
    Case::new(SigNo::SEGV, code, address)
}
