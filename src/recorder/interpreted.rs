//! Python's frames among those of the machine: in front of the frame of the interpreter that runs them, as a function
//! that was inlined stands in front of the one that holds its code.

use crate::capture::python::{PythonFrame, PythonStack};
use crate::report::model::{Frame, FrameKind};

/// How the functions of CPython are called that run frames, whatever the compiler made of them.
const EVALUATION: &str = "_PyEval_EvalFrameDefault";

/// Adds them. Each run of the interpreter takes the frames up to the one for which it was entered; where the machine's
/// stack shows no more runs, the rest comes last.
pub(super) fn insert(frames: &mut Vec<Frame>, stack: &PythonStack) {
    let mut left = stack.frames.as_slice();
    let mut merged = Vec::with_capacity(frames.len() + left.len());
    // Those that were inlined into a frame come before it.
    for whole in frames.chunk_by(|frame, _| frame.inlined) {
        let runs = whole.last().filter(|frame| is_evaluation(frame));
        if let Some(frame) = runs {
            let entry = left.iter().position(|python| python.is_entry);
            let (run, rest) = left.split_at(entry.map_or(left.len(), |entry| entry + 1));
            merged.extend(run.iter().map(|python| described(python, frame)));
            left = rest;
        }
        merged.extend_from_slice(whole);
    }
    let last = frames.last().cloned().unwrap_or_default();
    merged.extend(left.iter().map(|python| described(python, &last)));
    *frames = merged;
}

fn is_evaluation(frame: &Frame) -> bool {
    frame
        .symbol
        .as_deref()
        .is_some_and(|symbol| symbol.starts_with(EVALUATION))
}

fn described(python: &PythonFrame, native: &Frame) -> Frame {
    Frame {
        pc: native.pc,
        sp: native.sp,
        symbol: Some(python.function.clone()),
        file: Some(python.file.clone()),
        line: python.line,
        kind: FrameKind::Python,
        found_by: Some("interpreter".to_owned()),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(symbols: &[(&str, bool)]) -> Vec<Frame> {
        let frame = |(symbol, inlined): &(&str, bool)| Frame {
            symbol: Some((*symbol).to_owned()),
            inlined: *inlined,
            ..Frame::default()
        };
        symbols.iter().map(frame).collect()
    }

    fn python(functions: &[(&str, bool)]) -> PythonStack {
        let frame = |(function, is_entry): &(&str, bool)| PythonFrame {
            function: (*function).to_owned(),
            file: "app.py".to_owned(),
            line: Some(1),
            is_entry: *is_entry,
        };
        PythonStack {
            frames: functions.iter().map(frame).collect(),
            truncated: false,
        }
    }

    fn merged(symbols: &[(&str, bool)], functions: &[(&str, bool)]) -> Vec<String> {
        let mut frames = native(symbols);
        insert(&mut frames, &python(functions));
        frames.into_iter().filter_map(|frame| frame.symbol).collect()
    }

    #[test]
    fn each_run_of_the_interpreter_gets_its_frames() {
        let native = [
            ("strlen", false),
            ("dispatch", true),
            (EVALUATION, false),
            ("slot_tp_call", false),
            ("_PyEval_EvalFrameDefault.cold", false),
            ("main", false),
        ];
        let python = [("inner", false), ("middle", true), ("outer", true)];
        let expected = [
            "strlen",
            "inner",
            "middle",
            "dispatch",
            EVALUATION,
            "slot_tp_call",
            "outer",
            "_PyEval_EvalFrameDefault.cold",
            "main",
        ];
        assert_eq!(merged(&native, &python), expected);
    }

    #[test]
    fn frames_without_a_run_come_last() {
        assert_eq!(merged(&[("a", false)], &[("f", true)]), ["a", "f"]);
        assert_eq!(merged(&[], &[("f", true), ("g", true)]), ["f", "g"]);
        assert_eq!(
            merged(&[(EVALUATION, false), ("x", true)], &[]),
            [EVALUATION, "x"]
        );
    }
}
