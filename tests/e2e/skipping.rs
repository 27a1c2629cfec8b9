//! The instruction that faulted is stepped over, where that can be done.
#![cfg(target_arch = "x86_64")]

use crate::support::{Ended, Running, Sickbay, fixture};

fn start() -> (Sickbay, Running) {
    let sickbay = Sickbay::new().configured(
        "[[service]]\nname = \"api\"\non_fault = \"skip\"\n[service.isolation]\nthrows_per_second = 100\n",
    );
    let mut supervisor = sickbay.start(fixture("skipped"), &[] as &[&str]);
    supervisor.stdout_line("ready ");
    (sickbay, supervisor)
}

#[test]
fn a_program_goes_on_with_zero() {
    let (sickbay, mut supervisor) = start();
    supervisor.write("load\nstore\ndivide\nload\n");
    for (request, value) in [("load: ", "0"), ("store: ", "5"), ("divide: ", "0")] {
        assert_eq!(supervisor.stdout_line(request), value, "{request}");
    }
    supervisor.close_stdin();
    assert_eq!(supervisor.ended(), Ended::Exited(0));
    let reports = sickbay.reports();
    assert!(!reports.is_empty());
    for report in &reports {
        assert_eq!(report.text("action.taken"), "skip", "{report:?}");
        let reason = report.text("action.reason");
        assert!(
            reason.ends_with("did nothing, and what it writes is zero"),
            "{reason}"
        );
    }
}

#[test]
fn what_cannot_be_stepped_over_takes_its_signal() {
    for (request, why) in [
        ("copy", "works on more than one value"),
        ("push", "moves the stack pointer"),
        ("twice", "the next instruction takes SIGSEGV as well"),
    ] {
        let (sickbay, mut supervisor) = start();
        supervisor.write(&format!("{request}\n"));
        assert_eq!(
            supervisor.ended(),
            Ended::Exited(128 + libc::SIGSEGV),
            "{request}"
        );
        let report = sickbay.only_report();
        assert_eq!(report.text("action.taken"), "deliver", "{request}: {report:?}");
        let reason = report.text("action.reason");
        assert!(reason.contains(why), "{request}: {reason}");
        // The original signal, where it was raised.
        assert_eq!(report.address("signal.address"), 8, "{request}");
    }
}

/// Nothing asks for it but its name.
#[test]
fn no_ladder_holds_it() {
    let sickbay = Sickbay::new().option("--action", "isolate");
    let mut supervisor = sickbay.start(fixture("skipped"), &[] as &[&str]);
    supervisor.write("load\n");
    assert_eq!(supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
}
