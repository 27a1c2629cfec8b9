//! Where a fault happened, for the sentence about it: the function, and the recursion that ate up the stack.

use super::recursion::Recursion;
use crate::diagnose::{Cause, Diagnosis, short_name};
use crate::report::Report;
use crate::report::model::{Frame, FrameKind};

/// What a diagnosis says of a fault that the program's own handler took; the place belongs to the fault.
const HANDLED: &str = "; the program's own handler";
/// Libraries whose functions carry an abort out but are not its reason.
const CARRIERS: [&str; 8] = [
    "/libc.so",
    "/libc-",
    "/libpthread",
    "/libstdc++.so",
    "/libc++",
    "/libgcc_s.so",
    "/ld-linux",
    "/ld-musl",
];
/// Functions of the same kind that are linked into programs.
const CARRYING: [&str; 24] = [
    "abort",
    "raise",
    "gsignal",
    "__pthread_kill",
    "pthread_kill",
    "__GI_",
    "__libc_",
    "__assert",
    "__fortify_fail",
    "__chk_fail",
    "__stack_chk_fail",
    "malloc_printerr",
    "_int_",
    "std::terminate",
    "__cxxabiv1::",
    "__gnu_cxx::",
    "__cxa_",
    "_Unwind_",
    "__gxx_personality",
    "core::",
    "std::",
    "rust_",
    "__rust",
    "runtime.",
];

/// Completes the sentence of a report about a diagnosis with its place. The frames are there already; a recursion comes
/// with the names of its functions.
pub(super) fn complete(
    report: &mut Report,
    diagnosis: &Diagnosis,
    recursion: Option<(&Recursion, &[String])>,
) {
    let said = if diagnosis.cause == Cause::StackOverflow {
        recursion.map(|(recursion, names)| called_itself(recursion, names))
    } else {
        None
    };
    let said = said.or_else(|| frame_of(report, diagnosis).and_then(in_function));
    if let (Some(said), Some(detail)) = (said, &mut report.fault.detail) {
        let at = detail.find(HANDLED).unwrap_or(detail.len());
        detail.insert_str(at, &said);
    }
}

/// The frame that a fault is about, for the sentence; an assertion's message says it already.
fn frame_of<'r>(report: &'r Report, diagnosis: &Diagnosis) -> Option<&'r Frame> {
    if diagnosis.cause == Cause::AssertionFailed && diagnosis.abort_message.is_some() {
        return None;
    }
    let mut threads = report.threads.iter();
    let thread = threads.find(|thread| Some(thread.tid) == diagnosis.subject_tid)?;
    thread.frames.get(position(&thread.frames, diagnosis)?)
}

/// Which frame a fault is about; none for signals that are not about what the thread did.
pub(super) fn position(frames: &[Frame], diagnosis: &Diagnosis) -> Option<usize> {
    match diagnosis.cause {
        Cause::SentByProcess
        | Cause::RaisedByKernel
        | Cause::Terminal
        | Cause::Timer
        | Cause::CpuTimeLimit
        | Cause::Watchdog
        | Cause::Killed
        | Cause::OutOfMemory
        | Cause::FailureStatus
        | Cause::Exited
        | Cause::Unknown => None,
        Cause::Abort
        | Cause::AssertionFailed
        | Cause::UncaughtException
        | Cause::PureVirtualMethod
        | Cause::DeletedVirtualMethod
        | Cause::RustPanic
        | Cause::AllocationFailed
        | Cause::HeapCorruption
        | Cause::StackSmashing
        | Cause::Fortify
        | Cause::RaisedByItself => frames.iter().position(is_responsible),
        Cause::JumpToNull | Cause::JumpToUnmapped | Cause::ExecuteNonExecutable => {
            // Who jumped.
            let behind = at_fault(frames, diagnosis)? + 1;
            let caller = frames
                .iter()
                .skip(behind)
                .position(|frame| frame.symbol.is_some())?;
            Some(behind + caller)
        }
        _ => at_fault(frames, diagnosis),
    }
}

/// The frame where the fault happened, also behind the handler that took it.
fn at_fault(frames: &[Frame], diagnosis: &Diagnosis) -> Option<usize> {
    let pc = diagnosis.pc?;
    let is_there = |frame: &Frame| frame.pc.0 == pc && frame.kind != FrameKind::Python;
    frames.iter().position(is_there)
}

/// Whether a frame does not belong to the machinery of dying.
fn is_responsible(frame: &Frame) -> bool {
    let module = frame.module.as_deref().unwrap_or_default();
    let symbol = frame.symbol.as_deref().unwrap_or_default();
    let carries = CARRIERS.iter().any(|name| module.contains(name))
        || CARRYING
            .iter()
            .any(|name| symbol.trim_start_matches('<').starts_with(name));
    // Of the C library's headers, inlined into the function that calls them.
    let is_header = frame.inlined && frame.file.as_deref().is_some_and(|path| path.contains("/bits/"));
    frame.kind == FrameKind::Code && !carries && !is_header && !symbol.is_empty()
}

/// `, in `parse_header` at http.cpp:212`
fn in_function(frame: &Frame) -> Option<String> {
    let name = short_name(frame.symbol.as_deref()?);
    let file = frame.file.as_deref().and_then(|path| path.rsplit('/').next());
    Some(match (file, frame.line, &frame.module) {
        (Some(file), Some(line), _) => format!(", in `{name}` at {file}:{line}"),
        (_, _, Some(module)) => format!(", in `{name}` ({})", module.rsplit('/').next().unwrap_or(module)),
        _ => format!(", in `{name}`"),
    })
}

/// `; `walk` called itself 10,412 times`
fn called_itself(recursion: &Recursion, names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", short_name(name)))
        .collect();
    let times = thousands(recursion.rounds);
    let times = if recursion.at_least {
        format!("at least {times}")
    } else {
        times
    };
    match names.as_slice() {
        [name] => format!("; {name} called itself {times} times"),
        [first @ .., last] => format!(
            "; {} and {last} called each other {times} times",
            first.join(", ")
        ),
        [] => String::new(),
    }
}

/// `10,412`
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
