//! From a capture to the model of a report. Pure but for the module files.

use jiff::Timestamp;

use super::bound::bounded;
use super::directories::Directories;
use super::host::Host;
use super::job::{Action, Job, Reading};
use super::symbols::{self, Symbols};
use super::{fingerprint, frames, locks, modules, place, process, recursion, threads};
use crate::capture::maps::Maps;
use crate::capture::{Capture, Kind, MemoryRange, Purpose};
use crate::diagnose::instruction::{Listed, listing};
use crate::diagnose::unwind::{CallStack, CallStacks};
use crate::diagnose::{self, Diagnosis, LockGraph, ModuleSource};
use crate::report::Report;
use crate::report::core::Layout;
use crate::report::model::{
    self, CodeLine, Exit, Fault, Instruction, Memory, OpenFile, Operand, Pause, Sender, Signal,
};
use crate::sys::signal::code_name;

/// Bytes of one memory range that `report.json` holds itself; `memory.zst` has all of them.
const MAX_INLINE: usize = 4 << 10;
/// Memory ranges that `report.json` holds itself.
const MAX_RANGES: usize = 256;
/// Open files that a report lists.
const MAX_FILES: usize = 10_000;
/// Failed steps that a report lists.
const MAX_INCOMPLETE: usize = 1_000;
/// Bytes of the faulting thread's stack that `report.json` holds itself.
const MAX_STACK: usize = 1 << 10;
/// The names that architectures give the stack pointer.
const STACK_POINTERS: [&str; 2] = ["rsp", "sp"];
/// The names that architectures give the program counter; its entry in `memory` holds the code.
const PROGRAM_COUNTERS: [&str; 2] = ["rip", "pc"];

/// What a report is made of beside the capture.
pub struct Sources<'a> {
    /// What the front knows.
    pub job: &'a Job,
    /// The explanation; none for a capture on demand.
    pub diagnosis: Option<&'a Diagnosis>,
    /// The call stacks of the capture's threads, in their order.
    pub stacks: &'a CallStacks,
    /// Who waits for whom.
    pub locks: &'a LockGraph,
    /// The mapped files.
    pub modules: &'a dyn ModuleSource,
    /// Directories of the process.
    pub directories: Directories<'a>,
    /// The machine.
    pub host: &'a Host,
    /// Where memory lies in `memory.zst`, if that was written.
    pub memory: Option<&'a Layout>,
}

/// Composes the report of a capture. What the capture or its files lack is in the report's `incomplete`.
pub fn compose(capture: &Capture, sources: &Sources<'_>) -> Report {
    let Sources { job, host, .. } = sources;
    let facts = &capture.facts;
    let maps = Maps::of(capture);
    let mut missing = Vec::new();
    let mut miss = |step: String, reason: String| missing.push(model::Incomplete { step, reason });

    let time = Timestamp::from_microsecond(facts.time_us).unwrap_or_default();
    let mut report = Report::new(&job.id, time, process::describe(capture, host, &mut miss));
    report.kind = kind(facts.kind);
    report.host = host.facts.clone();
    report.service = service(job, capture);
    report.signal = signal(capture, job);
    report.threads = threads::describe(capture, sources, &mut miss);
    report.locks = locks::describe(sources.locks, &mut miss);
    report.deadlocks = locks::deadlocks(sources.locks, &mut miss);
    report.modules = modules::describe(capture, &maps, sources.modules, &mut miss);
    let sections = symbols::Sections::default();
    let mut symbols = Symbols::new(capture, sources.modules, sources.directories, &sections);
    symbols.without_lines = job.reading != Reading::All;
    frames::add(&mut report, capture, sources.stacks, &mut symbols, &mut miss);
    report.process.build_id = program_build_id(&report);
    report.maps = process::maps(&maps, &mut miss);
    report.files = files(capture, &mut miss);
    report.limits = process::limits(capture);
    report.environment = process::environment(capture, &mut miss);
    report.pause = pause(capture);
    report.action = job.action.as_ref().map(action).unwrap_or_default();
    if let Some(diagnosis) = sources.diagnosis {
        report.fault = fault(capture, diagnosis);
        report.memory = memory(capture, diagnosis);
        report.code = code(capture, diagnosis);
        let recursion = faulting_stack(capture, sources.stacks);
        let recursion = recursion.and_then(|stack| recursion::find(stack, |frame| symbols.start_of(frame)));
        let circle = recursion.iter().flat_map(|recursion| &recursion.functions);
        let circle: Vec<String> = circle.map(|frame| symbols.name_of(frame)).collect();
        let recursion = recursion.as_ref().map(|recursion| (recursion, circle.as_slice()));
        place::complete(&mut report, diagnosis, recursion);
        let signal = facts.fault.as_ref().map(|fault| fault.signal);
        report.fingerprint = signal.map(|signal| fingerprint::of(&report, signal, diagnosis, &circle));
    }
    if let Some(ended) = &job.ended {
        report.exit = Exit {
            status: ended.status,
            signal: ended.signal,
            core_dumped: ended.signal.map(|_| ended.core_dumped),
            oom: ended.signal.map(|_| ended.out_of_memory.is_some()),
        };
    }
    let reported = job.missing.iter().chain(&facts.missing);
    let reported = reported.map(|missing| (missing.step.clone(), missing.reason.clone()));
    report.incomplete = reported
        .map(|(step, reason)| model::Incomplete { step, reason })
        .collect();
    report.incomplete.append(&mut missing);
    bound_incomplete(&mut report);
    report
}

/// The stack of the thread that took the signal.
fn faulting_stack<'a>(capture: &Capture, stacks: &'a CallStacks) -> Option<&'a CallStack> {
    let tid = capture.facts.fault.as_ref()?.tid;
    let place = capture
        .facts
        .threads
        .iter()
        .position(|thread| thread.tid == tid)?;
    stacks.threads.get(place)
}

fn bound_incomplete(report: &mut Report) {
    let count = report.incomplete.len();
    if count > MAX_INCOMPLETE {
        report.incomplete.truncate(MAX_INCOMPLETE);
        report.missing(
            "incomplete",
            format!("{} more steps failed", count - MAX_INCOMPLETE),
        );
    }
}

fn kind(kind: Kind) -> model::Kind {
    match kind {
        Kind::Fault => model::Kind::Fault,
        Kind::Exit => model::Kind::Exit,
        Kind::Capture => model::Kind::Capture,
    }
}

fn service(job: &Job, capture: &Capture) -> model::Service {
    let service = job.service.clone();
    model::Service {
        name: service.name,
        unit: service.unit,
        invocation_id: service.invocation_id,
        cgroup: service.cgroup.or_else(|| process::cgroup(capture)),
    }
}

fn signal(capture: &Capture, job: &Job) -> Signal {
    let fault = capture.facts.fault.as_ref();
    let ended = job.ended.as_ref().and_then(|ended| ended.signal);
    let Some(number) = fault.map(|fault| fault.signal).or(ended) else {
        return Signal::default();
    };
    let info = capture.siginfo();
    let sender = info.and_then(|info| info.sender());
    Signal {
        number: Some(number),
        name: Some(number.to_string()),
        code: info.map(|info| info.code()),
        code_name: info
            .and_then(|info| code_name(number, info.code()))
            .map(str::to_owned),
        address: info.and_then(|info| info.address()).map(Into::into),
        sender: sender.map_or_else(Sender::default, |(pid, uid)| Sender {
            pid: Some(pid),
            uid: Some(uid),
            comm: fault.and_then(|fault| fault.sender_comm.clone()),
        }),
    }
}

fn fault(capture: &Capture, diagnosis: &Diagnosis) -> Fault {
    let thread = capture.faulting();
    Fault {
        tid: capture.facts.fault.as_ref().map(|fault| fault.tid),
        thread_name: thread.and_then(|thread| thread.name.clone()),
        cause: Some(diagnosis.cause.to_string()),
        detail: Some(diagnosis.detail.clone()),
        access: diagnosis.access.map(|access| match access {
            diagnose::Access::Read => model::Access::Read,
            diagnose::Access::Write => model::Access::Write,
            diagnose::Access::Execute => model::Access::Execute,
        }),
        pc: diagnosis.pc.map(Into::into),
        instruction: diagnosis
            .instruction
            .as_ref()
            .map(instruction)
            .unwrap_or_default(),
        abort_message: diagnosis.abort_message.clone(),
    }
}

fn instruction(decoded: &diagnose::instruction::Instruction) -> Instruction {
    use diagnose::instruction::Place;
    let operand = |operand: &diagnose::instruction::Operand| {
        let value = operand.value.map(Into::into);
        match &operand.place {
            Place::Register(name) => Operand {
                register: Some(name.clone()),
                address: None,
                value,
            },
            Place::Address(address) => Operand {
                register: None,
                address: Some((*address).into()),
                value,
            },
        }
    };
    Instruction {
        bytes: Some(decoded.bytes.as_slice().into()),
        text: Some(decoded.text.clone()),
        operands: decoded.operands.iter().map(operand).collect(),
    }
}

/// The code at the program counter that the diagnosis is about, and what the registers point to.
fn memory(capture: &Capture, diagnosis: &Diagnosis) -> Vec<Memory> {
    let counter = program_counter(capture);
    let entry = |range: &MemoryRange| {
        let bytes = capture.get(range.data);
        if capture.shown(range.start, range.data) != [(range.start, bytes)] {
            return None;
        }
        let holds = |pc: u64| pc.wrapping_sub(range.start) < bytes.len() as u64;
        let register = match &range.purpose {
            Purpose::Register(name) => name.clone(),
            Purpose::Code | Purpose::PrecursorCode if diagnosis.pc.is_some_and(holds) => counter?.to_owned(),
            Purpose::Code
            | Purpose::PrecursorCode
            | Purpose::Vdso
            | Purpose::Loader
            | Purpose::Lock(_)
            | Purpose::InterruptedStack => return None,
        };
        if STACK_POINTERS.contains(&register.as_str())
            && let Some(bytes) = stack_from(capture, range.start)
        {
            return Some(Memory {
                register,
                address: range.start.into(),
                bytes: bytes.into(),
            });
        }
        Some(Memory {
            register,
            address: range.start.into(),
            bytes: bytes.get(..MAX_INLINE.min(bytes.len()))?.into(),
        })
    };
    capture
        .facts
        .memory
        .iter()
        .filter_map(entry)
        .take(MAX_RANGES)
        .collect()
}

/// The faulting thread's stack from an address on, as much as a report itself holds.
fn stack_from(capture: &Capture, address: u64) -> Option<&[u8]> {
    let stack = capture.faulting()?.stack?;
    let offset = usize::try_from(address.checked_sub(stack.start)?).ok()?;
    let bytes = capture.get(stack.data).get(offset..)?;
    Some(&bytes[..bytes.len().min(MAX_STACK)]).filter(|bytes| !bytes.is_empty())
}

/// The instructions around the program counter that the diagnosis is about.
fn code(capture: &Capture, diagnosis: &Diagnosis) -> Vec<CodeLine> {
    let Some(pc) = diagnosis.pc else {
        return Vec::new();
    };
    let listed = capture.facts.memory.iter().find_map(|range| {
        let is_code = matches!(range.purpose, Purpose::Code | Purpose::PrecursorCode);
        let listed = is_code.then(|| listing(capture.get(range.data), range.start, pc))?;
        (!listed.is_empty()).then_some(listed)
    });
    let line = |listed: Listed| CodeLine {
        address: listed.address.into(),
        bytes: Some(listed.bytes.into()),
        text: Some(listed.text),
    };
    listed.unwrap_or_default().into_iter().map(line).collect()
}

fn program_counter(capture: &Capture) -> Option<&'static str> {
    let registers = capture.registers(capture.faulting()?)?.ok()?;
    PROGRAM_COUNTERS
        .into_iter()
        .find(|name| registers.get(name).is_some())
}

fn program_build_id(report: &Report) -> Option<String> {
    let exe = report.process.exe.as_deref()?;
    let program = report.modules.iter().find(|module| module.path == exe)?;
    program.build_id.clone()
}

fn files(capture: &Capture, mut miss: impl FnMut(String, String)) -> Vec<OpenFile> {
    let files = capture.facts.process.files.iter();
    let listed = bounded(files, MAX_FILES, |file| file.target.len()).told("files", &mut miss);
    let entry = |file: &crate::capture::OpenFile| OpenFile {
        fd: file.fd,
        target: file.target.clone(),
    };
    listed.into_iter().map(entry).collect()
}

fn pause(capture: &Capture) -> Pause {
    let pause = &capture.facts.pause;
    if *pause == crate::capture::Pause::default() {
        return Pause::default();
    }
    let mut phases = indexmap::IndexMap::new();
    for phase in &pause.phases {
        *phases.entry(phase.name.clone()).or_insert(0) += phase.us;
    }
    Pause {
        faulting_us: capture.facts.fault.as_ref().map(|_| pause.faulting_us),
        others_us: Some(pause.others_us),
        phases,
    }
}

fn action(action: &Action) -> model::Action {
    model::Action {
        requested: (!action.requested.is_empty()).then(|| action.requested.join(", ")),
        taken: Some(action.taken.clone()),
        reason: Some(action.reason.clone()),
        evidence: action.evidence.clone(),
        rule: action.rule.clone(),
    }
}
