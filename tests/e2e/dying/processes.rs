//! Faults in one of several threads and processes, after exec, and after the leader has left.

use libc::SIGSEGV;

use super::{NULL, die};
use crate::support::{Sickbay, fixture};

#[test]
fn two_threads_at_once_make_one_report() {
    let report = die(&["two-threads-fault-at-once"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .check();
    assert!(
        report.text("fault.thread_name").starts_with("twin-"),
        "{report:?}"
    );
}

#[test]
fn in_a_thread() {
    let report = die(&["in-thread", "null-read"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .thread("victim")
        .in_program()
        .check();
    assert_ne!(report.at("fault.tid"), report.at("process.pid"), "{report:?}");
}

#[test]
fn after_exec_by_another_thread_than_the_leader() {
    let report = die(&["exec-by-thread", "null-write"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .in_program()
        .check();
    assert_eq!(
        report.at("fault.tid"),
        report.at("process.pid"),
        "the caller of exec became the leader: {report:?}"
    );
    assert_eq!(report.list("threads").len(), 1, "{report:?}");
}

#[test]
fn after_the_leader_exited() {
    die(&["leader-exits-first", "null-write"])
        .by(SIGSEGV)
        .cause(&[NULL])
        .thread("survivor")
        .in_program()
        .check();
}

#[test]
fn a_child_of_the_program() {
    for how in ["fault-in-child", "fault-in-vfork-child"] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("die"), &[how]);
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        assert_eq!(outcome.stdout, "child killed by 11\n");
        let report = sickbay.only_report();
        assert_eq!(report.text("fault.cause"), NULL);
        assert_eq!(report.list("threads").len(), 1, "{report:?}");
    }
}
