//! The registers of outer frames, as unwind tables give them: held against a program that knows what they must be.
//!
//! Through the library: what goes on in another frame is not seen in a report.
#![cfg(target_arch = "x86_64")]

use std::fs::File;
use std::process::Command;
use std::time::Instant;

use sickbay::capture::fault::{Subject, copy};
use sickbay::capture::maps::Maps;
use sickbay::capture::{Capture, Frozen, ModuleFile};
use sickbay::config::ReportOptions;
use sickbay::diagnose::Image;
use sickbay::diagnose::unwind::{MemorySource, OuterFrame, OuterFrames, Personality, TableCache, Unwinder};
use sickbay::recorder::Descriptors;
use sickbay::sys::memory::Memory;
use sickbay::sys::ptrace::{self, Options, Stopped};
use sickbay::sys::wait::{self, Event, Stop};
use sickbay::sys::{Pid, SigNo, StartTime};

use crate::support::{Running, await_that, fixture, spawn};

/// The memory of a stopped thread, as an action on it reads it.
struct Live(Memory);

impl MemorySource for Live {
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        let bytes = self.0.read_span(address, size);
        let word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        (bytes.len() == size).then_some(word)
    }
}

/// A program that has faulted and is held there, with what is copied of it.
struct Held {
    program: Running,
    thread: Stopped,
    capture: Capture,
    files: Vec<File>,
}

impl Held {
    /// Starts a fixture, lets it fault and holds it in its signal-delivery-stop.
    fn at_fault(name: &str) -> Self {
        let mut program = spawn(&mut Command::new(fixture(name)));
        program.stdout_line("ready");
        let process = Pid(program.pid());
        ptrace::seize(process.leader(), Options::threads()).unwrap();
        program.write("go\n");
        let thread = await_that("the fault", || match wait::peek(process.leader())? {
            Event::Stopped(thread, Stop::Signal(SigNo::SEGV)) => Some(thread),
            Event::Stopped(thread, _) => {
                thread.cont(None).unwrap();
                None
            }
            Event::Ended(_, status) => panic!("it ended: {status:?}"),
        });
        let subject = Subject {
            tid: thread.tid(),
            thread: Some(&thread),
            process,
            start: StartTime(0),
            signal: Some(SigNo::SEGV),
            siginfo: thread.siginfo().ok(),
            handled: None,
            seen: Instant::now(),
            status: None,
        };
        let copied = copy(&subject, &mut Frozen::default(), &ReportOptions::default());
        let capture = copied.capture.clone();
        Self {
            program,
            thread,
            capture,
            files: copied.into_files().collect(),
        }
    }

    fn modules(&self) -> &[ModuleFile] {
        &self.capture.facts.modules
    }

    fn memory(&self) -> Live {
        Live(Memory::of(self.thread.tid()))
    }

    /// The outer frames, by an unwinder that `look` may ask more.
    fn outer_frames<T>(&self, look: impl FnOnce(&OuterFrames, &mut Unwinder<'_>) -> T) -> T {
        let capture = &self.capture;
        let source = Descriptors::new(capture, &self.files);
        let mut cache = TableCache::default();
        let maps = Maps::of(capture);
        let mut unwinder = Unwinder::new(&maps, self.modules(), None, &source, &mut cache);
        let outer = unwinder.outer_frames(&self.thread.registers().unwrap(), &self.memory(), 64);
        look(&outer, &mut unwinder)
    }

    /// The process's address of a function of the program.
    fn address_of(&self, frame: &OuterFrame, name: &str) -> u64 {
        let source = Descriptors::new(&self.capture, &self.files);
        let program = fixture("keeping").canonicalize().unwrap();
        let module = self
            .modules()
            .iter()
            .position(|module| Some(module.path.as_str()) == program.to_str())
            .unwrap();
        let mut found = None;
        let visit = |symbol: &[u8], address, _| {
            if symbol == name.as_bytes() {
                found = Some(address);
            }
        };
        Image::open(&source, module)
            .unwrap()
            .for_each_function(visit)
            .unwrap();
        let bias = frame.frame.pc - frame.frame.address.unwrap();
        found.unwrap_or_else(|| panic!("no symbol {name}")) + bias
    }
}

/// The values that `keep` has in rbx, rbp and r12 to r15 while it calls `spoil`, which has zero in all of them.
#[test]
fn registers_that_a_callee_spoiled_are_restored() {
    let held = Held::at_fault("keeping");
    held.outer_frames(|outer, _| {
        let [spoil, keep, serve, ..] = outer.frames.as_slice() else {
            panic!("{outer:?}");
        };
        for number in [3, 6, 12, 13, 14, 15] {
            assert_eq!(spoil.registers.get(number), Some(0), "register {number} of spoil");
            let kept = 0x1111_1111_1111_1100 | number as u64;
            assert_eq!(
                keep.registers.get(number),
                Some(kept),
                "register {number} of keep"
            );
            assert!(
                serve.registers.get(number).is_some(),
                "register {number} of serve"
            );
        }
        assert_eq!(keep.registers.get(0), None, "rax does not survive a call");
        assert_eq!(spoil.cfa, keep.registers.sp());
        let memory = held.memory();
        assert_eq!(memory.word(spoil.cfa.unwrap() - 8, 8), keep.registers.pc());
        for (frame, function) in [(spoil, "_ZL5spoilv"), (keep, "_ZL4keepv"), (serve, "_ZL5servev")] {
            let procedure = frame.procedure.unwrap();
            assert_eq!(procedure.low, held.address_of(frame, function), "{function}");
            assert!((procedure.low..procedure.high).contains(&frame.frame.pc));
        }
        assert_eq!(outer.truncated, None, "{outer:#?}");
    });
    assert!(held.program.pid() > 0);
}

#[test]
fn what_an_exception_would_meet_is_told() {
    let held = Held::at_fault("keeping");
    held.outer_frames(|outer, unwinder| {
        let [spoil, keep, serve, ..] = outer.frames.as_slice() else {
            panic!("{outer:?}");
        };
        for frame in [spoil, keep] {
            let procedure = frame.procedure.unwrap();
            assert_eq!((procedure.personality, procedure.lsda), (None, None));
        }
        let procedure = serve.procedure.unwrap();
        let personality = procedure.personality.unwrap();
        assert!(matches!(personality, Personality::StoredAt(_)), "{personality:?}");
        let routine = personality.resolve(&held.memory()).unwrap();
        let library = held
            .modules()
            .iter()
            .find(|module| (module.low..module.high).contains(&routine))
            .map(|module| module.path.as_str());
        assert!(
            library.is_some_and(|path| path.contains("libstdc++")),
            "{library:?}"
        );
        let lsda = procedure.lsda.unwrap();
        let mut from_file = [0; 8];
        assert_eq!(unwinder.read_module(&procedure, lsda, &mut from_file).unwrap(), 8);
        assert_eq!(
            held.memory().word(lsda, 8),
            Some(u64::from_le_bytes(from_file)),
            "the file holds what is mapped"
        );
        assert_eq!(
            from_file[0], 0xff,
            "an area that g++ writes begins without a base"
        );
    });
}
