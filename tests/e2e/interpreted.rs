//! Frames of interpreted programs, as the interpreter's own tools show them.

use std::process::Command;

use crate::support::{Report, Sickbay, fixture, pythons, skip, spawn};

/// The interpreters whose structures are known.
const KNOWN: &str = "sys.version_info >= (3, 11)";

/// The Python frames of each thread that has any: `python_stacks.py:12 recursive`.
fn shown(report: &Report) -> Vec<Vec<String>> {
    let stacks = report.list("threads").iter().map(|thread| {
        let frames = thread["frames"].as_array().unwrap().iter();
        let python = frames.filter(|frame| frame["kind"] == "python");
        let words = python.map(|frame| {
            let function = frame["symbol"].as_str().unwrap().rsplit('.').next().unwrap();
            format!("{}:{} {function}", frame["file"].as_str().unwrap(), frame["line"])
        });
        words.collect::<Vec<_>>()
    });
    stacks.filter(|stack| !stack.is_empty()).collect()
}

/// What faulthandler has printed of each thread but the one that printed it.
fn told(dump: &str) -> Vec<Vec<String>> {
    let threads = dump.split("\n\n").filter(|thread| thread.starts_with("Thread "));
    let stacks = threads.map(|thread| {
        let frames = thread.lines().filter_map(|line| {
            let (file, rest) = line.trim().strip_prefix("File \"")?.split_once("\", line ")?;
            let (line, function) = rest.split_once(" in ")?;
            Some(format!("{file}:{line} {function}"))
        });
        frames.collect()
    });
    stacks.collect()
}

#[test]
fn the_frames_of_python_are_those_that_it_shows_itself() {
    let pythons = pythons(KNOWN);
    if pythons.is_empty() {
        return skip("no Python from 3.11 on is installed");
    }
    for python in pythons {
        let mut program = spawn(Command::new(&python).arg(fixture("python_stacks.py")));
        program.stdout_line("ready");
        let mut expected = told(&program.stdout_so_far());
        assert_eq!(expected.len(), 4, "{expected:#?}");
        let (report, _) = Sickbay::new().capture(program.pid());
        let mut found = shown(&report);
        // The main thread has gone on since.
        found.retain(|stack| !stack[0].ends_with(" <module>"));
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{python}");
    }
}

/// A fault in a library is shown with the script that called it.
#[test]
fn a_fault_names_the_script_that_led_to_it() {
    let pythons = pythons(KNOWN);
    if pythons.is_empty() {
        return skip("no Python from 3.11 on is installed");
    }
    for python in pythons {
        let sickbay = Sickbay::new();
        let arguments = [fixture("python_stacks.py").into_os_string(), "fault".into()];
        let outcome = sickbay.run(&python, &arguments);
        assert_eq!(outcome.code(), 139, "{outcome:#?}");
        let report = sickbay.only_report();
        let faulting = report
            .list("threads")
            .iter()
            .find(|thread| thread["faulting"] == true);
        let frames = faulting.unwrap()["frames"].as_array().unwrap();
        let first = frames.iter().position(|frame| frame["kind"] == "python").unwrap();
        let functions: Vec<_> = frames[first..]
            .iter()
            .map(|frame| frame["symbol"].as_str().unwrap_or("?"))
            .collect();
        assert_eq!(functions[..3], ["string_at", "fault", "<module>"], "{python}");
        assert!(
            functions[3].starts_with("_PyEval_EvalFrameDefault"),
            "{functions:?}"
        );
        assert!(first > 0 && frames[0]["kind"] == "code", "{frames:#?}");
        let text = std::fs::read_to_string(report.directory().join("report.txt")).unwrap();
        let place = text
            .lines()
            .find(|line| line.trim_start().starts_with("Where"))
            .unwrap();
        assert!(
            place.contains("for string_at at ") && place.ends_with("(Python)"),
            "{place}"
        );
    }
}
