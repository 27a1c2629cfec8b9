//! What makes two incidents look alike: the signal, and the functions that it happened in.
//!
//! A function counts by its name, so that a rebuild does not change it; without a name, by build id and offset, so that
//! address randomisation does not. Inlined functions do not count, for they come and go with debug information. The
//! depth of a recursion does not either, nor what raises an abort and what handles a signal.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::place;
use crate::diagnose::{Cause, Diagnosis};
use crate::report::Report;
use crate::report::model::{Frame, FrameKind};
use crate::sys::SigNo;

/// Functions that count.
const MAX_FUNCTIONS: usize = 5;

/// The fingerprint of a fault: 16 hexadecimal digits, stable across runs, machines and, where there are symbols, builds.
/// `circle` are the functions of a recursion that filled the stack.
pub(super) fn of(report: &Report, signal: SigNo, diagnosis: &Diagnosis, circle: &[String]) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(&signal.0.to_le_bytes());
    for function in functions(report, diagnosis, circle) {
        hasher.write(function.as_bytes());
        hasher.write(&[0]);
    }
    format!("{:016x}", hasher.finish())
}

fn functions(report: &Report, diagnosis: &Diagnosis, circle: &[String]) -> Vec<String> {
    if diagnosis.cause == Cause::StackOverflow && !circle.is_empty() {
        // Which of them met the end of the stack is chance.
        let mut functions = circle.to_vec();
        functions.sort();
        return functions;
    }
    let thread = report
        .threads
        .iter()
        .find(|thread| Some(thread.tid) == diagnosis.subject_tid);
    let frames = thread.map(|thread| thread.frames.as_slice()).unwrap_or_default();
    let Some(first) = place::position(frames, diagnosis) else {
        // The signal is not about what the thread did.
        return vec![diagnosis.cause.to_string()];
    };
    let counting = |frame: &&Frame| !frame.inlined && frame.kind != FrameKind::Signal;
    let mut functions: Vec<String> = Vec::new();
    for function in frames.iter().skip(first).filter(counting).map(function) {
        if functions.last() != Some(&function) {
            functions.push(function);
        }
        if functions.len() == MAX_FUNCTIONS {
            break;
        }
    }
    functions
}

/// What stands for the function of a frame.
fn function(frame: &Frame) -> String {
    if let Some(symbol) = &frame.symbol {
        let name = symbol.split(" [clone").next().unwrap_or(symbol);
        // V8 notes by which of its compilers the code is.
        return name
            .replace("JS:^", "JS:")
            .replace("JS:*", "JS:")
            .replace("JS:~", "JS:");
    }
    let module = frame.build_id.as_ref().or(frame.module.as_ref());
    match (module, frame.offset) {
        (Some(module), Some(offset)) => format!("{module}+{offset}"),
        // Generated code, or none: nothing of its address would come again.
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{Process, Thread};
    use crate::sys::{Pid, Tid};

    fn fingerprint(frames: &[(u64, Option<&str>, u64)], cause: Cause, circle: &[&str]) -> String {
        let mut report = Report::new("id", jiff::Timestamp::UNIX_EPOCH, Process::new(Pid(1)));
        let mut thread = Thread::new(Tid(7));
        thread.frames = frames
            .iter()
            .map(|(pc, symbol, offset)| Frame {
                pc: (*pc).into(),
                symbol: symbol.map(str::to_owned),
                build_id: Some("abcd".to_owned()),
                offset: Some((*offset).into()),
                ..Frame::default()
            })
            .collect();
        report.threads.push(thread);
        let diagnosis = Diagnosis {
            cause,
            detail: String::new(),
            access: None,
            pc: frames.first().map(|(pc, ..)| *pc),
            address: None,
            instruction: None,
            abort_message: None,
            subject_tid: Some(Tid(7)),
        };
        let circle: Vec<String> = circle.iter().map(|name| (*name).to_owned()).collect();
        of(&report, SigNo::SEGV, &diagnosis, &circle)
    }

    #[test]
    fn neither_addresses_nor_builds_change_it() {
        let null = Cause::NullDereference;
        let first = fingerprint(
            &[(0x7f01, Some("parse"), 0x10), (0x7f20, Some("main"), 0x80)],
            null,
            &[],
        );
        let elsewhere = fingerprint(
            &[(0x5501, Some("parse"), 0x99), (0x5520, Some("main"), 0x70)],
            null,
            &[],
        );
        assert_eq!(first, elsewhere);
        let deeper = [
            (1, Some("parse"), 1),
            (2, Some("walk"), 2),
            (3, Some("walk"), 2),
            (4, Some("main"), 3),
        ];
        let less = [(1, Some("parse"), 1), (2, Some("walk"), 2), (4, Some("main"), 3)];
        assert_eq!(fingerprint(&deeper, null, &[]), fingerprint(&less, null, &[]));
        let other = fingerprint(
            &[(0x7f01, Some("render"), 0x10), (0x7f20, Some("main"), 0x80)],
            null,
            &[],
        );
        assert_ne!(first, other);
    }

    #[test]
    fn without_names_the_place_in_the_build_counts() {
        let null = Cause::NullDereference;
        let first = fingerprint(&[(0x7f01, None, 0x10)], null, &[]);
        assert_eq!(first, fingerprint(&[(0x5501, None, 0x10)], null, &[]));
        assert_ne!(first, fingerprint(&[(0x7f01, None, 0x11)], null, &[]));
    }

    #[test]
    fn a_recursion_counts_by_its_circle_and_a_sent_signal_by_its_cause() {
        let overflow =
            |top: &str, circle: &[&str]| fingerprint(&[(1, Some(top), 1)], Cause::StackOverflow, circle);
        assert_eq!(overflow("a", &["a", "b"]), overflow("b", &["b", "a"]));
        let sent = |top: &str| fingerprint(&[(1, Some(top), 1)], Cause::SentByProcess, &[]);
        assert_eq!(sent("poll"), sent("read"));
    }
}
