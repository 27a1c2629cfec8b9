//! The instruction that faulted is stepped over, where that can be done.
#![cfg(target_arch = "x86_64")]

use crate::support::{Ended, Running, Sickbay, fixture};

fn start() -> (Sickbay, Running) {
    start_with(Sickbay::new())
}

fn start_with(sickbay: Sickbay) -> (Sickbay, Running) {
    let sickbay = sickbay.configured(
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

/// The thread takes its own signal when its tracer dies in front of the step.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_in_front_of_the_step_leaves_the_thread_with_its_signal() {
    let sickbay = Sickbay::new();
    let mark = sickbay.scratch().join("mark");
    let (_sickbay, mut supervisor) = start_with(
        sickbay
            .variable("SICKBAY_FAIL", "isolate.skip.sent")
            .variable("SICKBAY_FAIL_MARK", &mark),
    );
    supervisor.write("load\n");
    assert_eq!(supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    assert!(mark.exists());
}

/// A signal that comes while the thread makes its step arrives as it was sent.
#[cfg(feature = "fail-points")]
#[test]
fn a_signal_in_the_step_keeps_its_sender_and_payload() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::support::{await_that, proc};

    let sickbay = Sickbay::new();
    let mark = sickbay.scratch().join("mark");
    let (_sickbay, mut supervisor) = start_with(
        sickbay
            .variable("SICKBAY_FAIL", "isolate.skip.sent")
            .variable("SICKBAY_FAIL_SIGNAL", "SIGSTOP")
            .variable("SICKBAY_FAIL_MARK", &mark),
    );
    supervisor.write("load\n");
    let tracer = await_that("a stopped tracer", || {
        let pid = std::fs::read_to_string(&mark).ok()?.parse().ok()?;
        let stopped = proc::tasks(pid).iter().any(|task| task.state == 'T');
        stopped.then_some(pid)
    });
    let program = supervisor.stdout_line("ready ").parse().unwrap();
    let senders = ["7", "8"].map(|value| (value, queue(program, value)));
    kill(Pid::from_raw(tracer), Signal::SIGCONT).unwrap();
    for (value, sender) in senders {
        let said = supervisor.stdout_line(&format!("signal: {value}, "));
        assert_eq!(said, format!("code {}, from {sender}", libc::SI_QUEUE));
    }
    assert_eq!(supervisor.stdout_line("load: "), "0");
    supervisor.close_stdin();
    assert_eq!(supervisor.ended(), Ended::Exited(0));
}

/// Sends the first realtime signal with a value (sigqueue(3)); returns the process that did.
#[cfg(feature = "fail-points")]
fn queue(process: i32, value: &str) -> u32 {
    let signal = libc::SIGRTMIN().to_string();
    let mut command = std::process::Command::new("kill");
    command.args(["--queue", value, "--signal", &signal, &process.to_string()]);
    let mut child = command.spawn().unwrap();
    assert!(child.wait().unwrap().success());
    child.id()
}
