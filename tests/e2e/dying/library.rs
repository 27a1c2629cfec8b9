//! Ends that a runtime library decides, all by SIGABRT: its own message tells which it was.

use libc::SIGABRT;

use super::{ABORT, OVERFLOW, die};
use crate::support::dying;

#[test]
fn abort() {
    die(&["abort"])
        .by(SIGABRT)
        .code("SI_TKILL")
        .cause(&[ABORT])
        .check();
}

#[test]
fn assertion() {
    die(&["assert"])
        .by(SIGABRT)
        .cause(&["assertion failed"])
        .message("balance == 0")
        .check();
}

#[test]
fn double_free() {
    die(&["double-free"])
        .by(SIGABRT)
        .cause(&["heap corruption"])
        .message("double free")
        .check();
}

#[test]
fn invalid_free() {
    die(&["bad-free"])
        .by(SIGABRT)
        .cause(&["heap corruption"])
        .message("invalid pointer")
        .check();
}

#[test]
fn stack_smashing() {
    die(&["stack-smash"])
        .by(SIGABRT)
        .cause(&["stack smashing"])
        .message("stack smashing")
        .check();
}

#[test]
fn fortified_function() {
    let overflow = die(&["fortify"]).by(SIGABRT);
    overflow
        .cause(&["buffer overflow (fortify)"])
        .message("buffer overflow")
        .check();
}

#[test]
fn cxx_terminate() {
    for (how, said) in [
        ("uncaught", "std::runtime_error: the ledger does not balance"),
        ("noexcept", "std::runtime_error: thrown through noexcept"),
        ("uncaught-in-thread", "std::runtime_error: thrown in a thread"),
        ("derived", "(anonymous namespace)::Denied: access denied"),
        ("rethrown", "std::logic_error: thrown once more"),
        ("number", "int"),
    ] {
        let ended = dying("die_cxx", &[how]).by(SIGABRT);
        let report = ended.cause(&["uncaught C++ exception"]).message(said).check();
        let detail = report.text("fault.detail");
        assert!(
            detail.starts_with(&format!("uncaught C++ exception: {said}")),
            "{how}: {detail}"
        );
    }
}

/// An exception that is over is not blamed.
#[test]
fn cxx_terminate_without_an_exception() {
    for how in ["terminate", "caught-before"] {
        let ended = dying("die_cxx", &[how]).by(SIGABRT);
        let report = ended.cause(&["uncaught C++ exception"]).check();
        assert!(!report.has("fault.abort_message"), "{how}: {report:?}");
        let detail = report.text("fault.detail");
        assert!(
            detail.contains("no exception in flight was found"),
            "{how}: {detail}"
        );
    }
}

#[test]
fn cxx_virtual_methods_without_a_body() {
    for (how, cause, place) in [
        ("pure-virtual", "pure virtual method called", "Shape::announce"),
        ("deleted-virtual", "deleted virtual method called", "main"),
    ] {
        let ended = dying("die_cxx", &[how]).by(SIGABRT);
        let report = ended.cause(&[cause]).check();
        let detail = report.text("fault.detail");
        assert!(
            detail.starts_with(cause) && detail.contains(place),
            "{how}: {detail}"
        );
    }
}

#[test]
fn cxx_library_assertion() {
    let ended = dying("die_cxx", &["library-assertion"]).by(SIGABRT);
    let report = ended.cause(&["assertion failed"]).check();
    let detail = report.text("fault.detail");
    assert!(detail.contains("die_cxx.cc:"), "{detail}");
}

#[test]
fn rust_panic() {
    let panicked = |program: &str, how: &str, text: &str| {
        let report = dying(program, &[how])
            .by(SIGABRT)
            .cause(&["Rust panic"])
            .message("panicked at die_rust.rs:")
            .check();
        let message = report.text("fault.abort_message");
        assert!(message.ends_with(text), "{program} {how}: {message}");
        let place = message.split(": ").next().unwrap();
        let line = place.split(':').nth(1).unwrap().parse::<usize>().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/die_rust.rs");
        let source = std::fs::read_to_string(source).unwrap();
        let line = source.lines().nth(line - 1).unwrap();
        assert!(line.contains("panic") || line.contains(how), "{how}: {line}");
        let detail = report.text("fault.detail");
        let told = message.replace("\n  ", "; ");
        assert!(
            detail.starts_with(&format!("Rust panic: {told}")),
            "{how}: {detail}"
        );
        report
    };
    for program in ["die_rust", "die_rust_stripped"] {
        for (how, text) in [
            ("panic", ": the ledger does not balance"),
            ("values", ": 3 of \"apples\"\n  are missing"),
            ("hook", ": told to a hook"),
        ] {
            if program == "die_rust" || how == "hook" {
                panicked(program, how, text);
            }
        }
    }
    panicked(
        "die_rust",
        "index",
        ": index out of bounds: the len is 3 but the index is 7",
    );
    let unwrapped =
        ": called `Result::unwrap()` on an `Err` value: Custom { kind: Other, error: \"no ledger\" }";
    panicked("die_rust", "unwrap", unwrapped);
    let in_thread = panicked("die_rust", "panic-in-thread", ": a worker's panic");
    assert_eq!(in_thread.text("fault.thread_name"), "worker-1");
    let of_a_number = panicked("die_rust", "any", "");
    let message = of_a_number.text("fault.abort_message");
    assert_eq!(message.matches(": ").count(), 0, "{message}");
}

/// Rust ends the process itself for a panic that may not go on, with a panic of its own.
#[test]
fn rust_panic_that_cannot_unwind() {
    for program in ["die_rust_unwind", "die_rust_stripped"] {
        for (how, text) in [
            ("while-panicking", "panic in a destructor during cleanup"),
            ("through-c", "panic in a function that cannot unwind"),
        ] {
            let ended = dying(program, &[how]).by(SIGABRT);
            ended.cause(&["Rust panic"]).message(text).check();
        }
    }
}

#[test]
fn rust_aborts_without_a_panic() {
    let ended = dying("die_rust_unwind", &["caught-before"]).by(SIGABRT);
    let report = ended.cause(&[ABORT]).check();
    assert!(!report.has("fault.abort_message"), "{report:?}");
    dying("die_rust_unwind", &["no-memory"])
        .by(SIGABRT)
        .cause(&["memory allocation failed"])
        .check();
}

/// Rust's handler prints its own message, on an alternate stack, and aborts.
#[test]
fn rust_stack_overflow() {
    dying("die_rust", &["stack-overflow"])
        .by(SIGABRT)
        .cause(&[ABORT, OVERFLOW])
        .check();
}
