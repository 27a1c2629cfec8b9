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
    for how in ["terminate", "pure-virtual", "caught-before"] {
        let ended = dying("die_cxx", &[how]).by(SIGABRT);
        let report = ended.cause(&["uncaught C++ exception"]).check();
        assert!(!report.has("fault.abort_message"), "{how}: {report:?}");
    }
}

#[test]
fn rust_panic() {
    for how in ["panic", "index"] {
        dying("die_rust", &[how])
            .by(SIGABRT)
            .cause(&["Rust panic", ABORT])
            .check();
    }
    dying("die_rust", &["panic-in-thread"])
        .by(SIGABRT)
        .cause(&["Rust panic", ABORT])
        .thread("worker-1")
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
