//! The ways in for what a process left behind: one function for each, which takes any bytes.
//!
//! The fuzz targets and `tests/hostile` share them. They return nothing: no input may panic, overflow the stack, or
//! take memory or time without a bound.

use sickbay::capture::maps::Maps;
use sickbay::capture::{
    Capture, FaultFacts, Kind, MemoryRange, ModuleFile, Purpose, StackRange, ThreadFacts,
};
use sickbay::diagnose::unwind::{CallStacks, TableCache, call_stacks};
use sickbay::diagnose::{Image, InMemory, LockGraph, ModuleSource, NoModules, diagnose};
use sickbay::recorder::{Directories, Host, Job, Sources, compose};
use sickbay::report::minidump::Minidump;
use sickbay::report::{Report, core, html, text};
use sickbay::sys::regs::GeneralRegisters;
use sickbay::sys::signal::SigInfo;
use sickbay::sys::{SigNo, Tid};

/// Where the file of [`module`] is mapped.
const LOW: u64 = 0x40_0000;
/// The stack of its first thread; the others follow.
const STACK: u64 = 0x7ffc_0000_0000;
/// Threads whose code is spread over the file, and words on the stack of each that point there.
const THREADS: u64 = 16;
const WORDS: u64 = 64;

/// A mapped file: its unwind tables, symbols and debug information, for calls all over it.
pub(crate) fn module(bytes: &[u8]) {
    report(&process(bytes), &InMemory(bytes));
}

/// What a tracer handed over, as it travels.
pub(crate) fn capture(bytes: &[u8]) {
    if let Ok(capture) = Capture::read_from(bytes) {
        report(&capture, &NoModules);
    }
}

/// A stored core, on its way to a minidump.
pub(crate) fn stored_core(bytes: &[u8]) {
    if let Ok((found, memory)) = core::read(bytes) {
        let report = report(&process(&[0; 4096]), &NoModules);
        let _ = Minidump::of(&report, &found).write(&memory, &mut std::io::sink());
    }
}

/// A report in the store, for people.
pub(crate) fn stored_report(bytes: &[u8]) {
    if let Ok(report) = serde_json::from_slice::<Report>(bytes) {
        text::render(&report);
        let _ = html::render(&report);
    }
}

/// A process whose only file these bytes are, with threads all over it.
pub(crate) fn process(bytes: &[u8]) -> Capture {
    let size = (bytes.len() as u64).next_multiple_of(4096).max(4096);
    let mut capture = Capture::default();
    capture.facts.kind = Kind::Fault;
    capture.facts.process.pid = 1;
    let maps = format!(
        "{LOW:08x}-{:08x} r-xp 00000000 fe:00 1234 /usr/bin/prog\n{STACK:x}-{:x} rw-p 00000000 00:00 0 [stack]\n",
        LOW + size,
        STACK + THREADS * WORDS * 8
    );
    capture.facts.process.maps = Some(capture.keep(maps.as_bytes()));
    capture.facts.modules.push(ModuleFile {
        path: "/usr/bin/prog".to_owned(),
        low: LOW,
        high: LOW + size,
        offset: 0,
        device: (0xfe, 0),
        inode: 1234,
        descriptor: None,
    });
    let places = places(bytes);
    let code = |number: u64| {
        let spread = size.wrapping_mul(number) / WORDS % size;
        let place = places.get(usize::try_from(number).unwrap_or_default() % places.len().max(1));
        LOW + place.copied().unwrap_or(spread)
    };
    for thread in 0..THREADS {
        let pc = code(thread);
        let sp = STACK + thread * WORDS * 8;
        // Return addresses and, among them, frame pointers.
        let words = (0..WORDS).flat_map(|word| {
            let frame = sp + (word + 2) % WORDS * 8;
            (if word % 4 == 0 { frame } else { code(word + thread) }).to_le_bytes()
        });
        let words: Vec<u8> = words.collect();
        let data = capture.keep(&words);
        let registers = GeneralRegisters::from_named(&[("rip", pc), ("rsp", sp), ("rbp", sp + 16)]);
        let general = capture.keep(&registers.to_bytes());
        capture.facts.threads.push(ThreadFacts {
            general: Some(general),
            stack: Some(StackRange {
                pointer: sp,
                low: STACK,
                high: STACK + THREADS * WORDS * 8,
                start: sp,
                data,
            }),
            ..ThreadFacts::new(Tid(1 + thread as i32))
        });
    }
    // An abort, whose reason is looked for on the stack.
    let siginfo = Some(capture.keep(SigInfo::new(SigNo::ABRT, -6, 1).as_bytes()));
    let code = capture.keep(bytes.get(..256).unwrap_or(bytes));
    capture.facts.memory.push(MemoryRange {
        purpose: Purpose::Code,
        start: LOW,
        data: code,
    });
    capture.facts.fault = Some(FaultFacts {
        tid: Tid(1),
        signal: SigNo::ABRT,
        siginfo,
        precursor: None,
        sender_comm: None,
        abort_message: None,
        exception: None,
        panic: None,
    });
    capture
}

/// File offsets in the middle of functions, as far as there are any.
fn places(bytes: &[u8]) -> Vec<u64> {
    let source = InMemory(bytes);
    let Ok(image) = Image::open(&source, 0) else {
        return Vec::new();
    };
    let segments = image.segments().unwrap_or_default();
    let mut places = Vec::new();
    let _ = image.for_each_function(|_, address, length| {
        let place = address.saturating_add(length / 2);
        let offset = segments.iter().find_map(|segment| segment.offset_of(place));
        places.extend(offset.filter(|_| length > 16 && places.len() < WORDS as usize));
    });
    places
}

/// All that a recorder makes of a capture, but for files.
pub(crate) fn report(capture: &Capture, modules: &dyn ModuleSource) -> Report {
    let stacks: CallStacks = call_stacks(capture, modules, &mut TableCache::default());
    let diagnosis = diagnose(capture, &Maps::of(capture), modules);
    let report = compose(
        capture,
        &Sources {
            job: &Job::default(),
            diagnosis: diagnosis.as_ref(),
            stacks: &stacks,
            locks: &LockGraph::of(capture),
            modules,
            directories: Directories::default(),
            host: &Host::read(&mut Vec::new()),
            memory: None,
        },
    );
    text::render(&report);
    report
}
