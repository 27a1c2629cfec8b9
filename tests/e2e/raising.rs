//! A fault in native code becomes an exception of the Python function that called it, and the interpreter runs on.
#![cfg(target_arch = "x86_64")]

use crate::support::{Ended, Raising, Sickbay, fixture, is_built, pythons, skip};

/// The extension that faults; it is built where the headers of Python 3.11 are.
const EXTENSION: &str = "fault_native.so";

/// The interpreters of the version for which exceptions are raised, and for which the extension was built.
fn interpreters() -> Vec<String> {
    let found: Vec<String> = pythons("sys.version_info[:2] == (3, 11)");
    if found.is_empty() || !is_built(EXTENSION) {
        skip("Python 3.11 is not installed, or its headers are not");
        return Vec::new();
    }
    found
}

fn start(python: &str, arguments: &[&str]) -> Raising {
    start_with(Sickbay::new(), python, arguments)
}

fn start_with(sickbay: Sickbay, python: &str, arguments: &[&str]) -> Raising {
    let program = fixture("raiser.py").display().to_string();
    let arguments = [&[program.as_str()], arguments].concat();
    Raising::start(sickbay, python, &arguments)
}

/// With the interpreter lock and without; in the worker, and in the main thread.
#[test]
fn except_gets_the_fault_and_the_interpreter_runs_on() {
    for python in interpreters() {
        for (request, function) in [
            ("held", "parse_header"),
            ("released", "parse_header"),
            ("string", "libc.so.6"),
            ("foreign", "libc.so.6"),
        ] {
            for thread in [&[][..], &["main"][..]] {
                let mut subject = start(&python, thread);
                let state = subject.state_after(&format!("good\n{request}\ngood\n"), "1 failed");
                let said = subject.supervisor.stdout_line("failed: ");
                let expected = "RuntimeError: SIGSEGV: null pointer dereference at 0x0 in ";
                assert!(said.starts_with(expected), "{python}, {request}: {said}");
                assert!(said.contains(function), "{python}, {request}: {said}");
                assert!(state.starts_with("1 failed"), "{state}");
                let report = subject.sickbay.awaited_report();
                assert_eq!(report.text("action.taken"), "throw", "{report:?}");
                let reason = report.text("action.reason");
                assert!(
                    reason.contains(" gets a Python RuntimeError: \"SIGSEGV: "),
                    "{reason}"
                );
            }
        }
    }
}

/// Where C++ lies between the fault and the interpreter, the fault is a C++ exception first, and destructors run.
#[test]
fn an_exception_of_cxx_becomes_one_of_python() {
    for python in interpreters() {
        let mut subject = start(&python, &[]);
        let before = subject.state_after("good\n", "0 failed");
        let after = subject.state_after("caught\n", "1 failed");
        assert_eq!(
            subject.supervisor.stdout_line("failed: "),
            "RuntimeError: SIGSEGV: null pointer dereference at 0x0 in parse_header"
        );
        assert_eq!(
            Raising::number(&before, "references"),
            Raising::number(&after, "references")
        );
        let report = subject.sickbay.awaited_report();
        let reason = report.text("action.reason");
        assert!(reason.contains(" gets a C++ exception, which frame "), "{reason}");
    }
}

/// How a program rounds is its own, also after an exception.
#[test]
fn rounding_is_kept() {
    const UPWARDS: &str = "0x800";
    let script = format!(
        "import ctypes\nm = ctypes.CDLL('libm.so.6')\nm.fesetround({UPWARDS})\n\
         try:\n  ctypes.string_at(0)\nexcept RuntimeError:\n  print(hex(m.fegetround()))"
    );
    for python in interpreters() {
        let sickbay = Sickbay::new().option("--action", "throw");
        let outcome = sickbay.run(&python, &["-c", &script]);
        assert_eq!(outcome.stdout.trim_end(), UPWARDS, "{python}: {outcome:?}");
    }
}

#[test]
fn the_traceback_leads_to_the_call() {
    for python in interpreters() {
        let mut subject = start(&python, &[]);
        subject.supervisor.write("traceback\n");
        assert_eq!(
            subject.supervisor.stdout_line("traceback: "),
            "answer:parse(\"held\" if request == \"traceback\" else request) | \
             parse:return getattr(fault_native, request)()"
        );
    }
}

#[test]
fn what_is_no_call_of_a_native_function_takes_its_signal() {
    for python in interpreters() {
        for (request, why) in [
            ("handed", "it is inside the interpreter"),
            ("length", "calls what returns no object"),
            ("quiet", "is noexcept"),
        ] {
            let mut subject = start(&python, &[]);
            subject.supervisor.write(&format!("{request}\n"));
            subject.dies_with(why);
        }
    }
}

/// A thread that holds the interpreter lock is never made to sleep or to end where it cannot be given an exception.
#[test]
fn a_thread_with_the_interpreter_lock_is_not_taken_instead() {
    for python in interpreters() {
        let sickbay = Sickbay::new()
            .option("--action", "isolate")
            .option("--name", "interpreter");
        let program = fixture("raiser.py");
        let mut supervisor = sickbay.start(python, &[program]);
        supervisor.stdout_line("ready ");
        supervisor.write("handed\n");
        assert_eq!(supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
        let report = sickbay.awaited_report();
        let reason = report.text("action.reason");
        assert!(reason.contains("throw is not possible"), "{reason}");
        assert!(reason.contains("may hold its interpreter lock (GIL)"), "{reason}");
    }
}

/// `leak`: what a call may leave behind, bytes.
fn exceptions_leave_nothing_behind(pythons: &[String], request: &str, times: usize, leak: usize) {
    for python in pythons {
        let mut subject = start(python, &[]);
        let warm = subject.state_after_failures(request, 0, times / 10);
        let end = subject.state_after_failures(request, times / 10, times);
        for what in ["threads", "files", "references"] {
            assert_eq!(
                Raising::number(&warm, what),
                Raising::number(&end, what),
                "{python}: {warm}: {end}"
            );
        }
        let grown = Raising::number(&end, "KiB").saturating_sub(Raising::number(&warm, "KiB"));
        assert!(grown < 1024 + times * leak / 1024, "{python}: {warm}: {end}");
    }
}

/// The first interpreter: one is enough for what takes long.
fn one() -> Vec<String> {
    interpreters().into_iter().take(1).collect()
}

#[test]
fn exceptions_leave_nothing_behind_in_the_interpreter() {
    exceptions_leave_nothing_behind(&interpreters(), "held", 30, 0);
    exceptions_leave_nothing_behind(&interpreters(), "released", 30, 0);
}

#[test]
#[ignore = "long: make soak"]
fn ten_thousand_exceptions_with_the_lock_leave_nothing_behind() {
    exceptions_leave_nothing_behind(&one(), "held", 10_000, 0);
}

#[test]
#[ignore = "long: make soak"]
fn ten_thousand_exceptions_without_the_lock_leave_nothing_behind() {
    exceptions_leave_nothing_behind(&one(), "released", 10_000, 0);
}

/// What a call through `ctypes` has made for itself is not given back.
#[test]
#[ignore = "long: make soak"]
fn ten_thousand_exceptions_through_ctypes_leave_what_a_call_makes() {
    exceptions_leave_nothing_behind(&one(), "string", 10_000, 1024);
}

#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_before_the_exception_leaves_the_signal() {
    for python in interpreters() {
        for request in ["held", "released"] {
            let sickbay = Sickbay::new();
            let mark = sickbay.scratch().join("mark");
            let sickbay = sickbay
                .variable("SICKBAY_FAIL", "tracer.throw.prepared")
                .variable("SICKBAY_FAIL_MARK", &mark);
            let mut subject = start_with(sickbay, &python, &[]);
            subject.supervisor.write(&format!("{request}\n"));
            assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
            assert!(mark.exists(), "{request}");
        }
    }
}

/// Other versions are refused until somebody has looked.
#[test]
fn other_versions_are_told_so() {
    for python in pythons("(3, 11) < sys.version_info[:2] < (3, 14)") {
        let sickbay = Sickbay::new().option("--action", "throw");
        let script = "import ctypes; ctypes.string_at(0)";
        assert_eq!(sickbay.run(&python, &["-c", script]).code(), 139);
        let report = sickbay.only_report();
        let reason = report.text("action.reason");
        assert!(
            reason.contains("exceptions are not raised in Python 3.1"),
            "{reason}"
        );
    }
}
