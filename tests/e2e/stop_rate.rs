//! A service that stops more often than its limit allows: said once, and let go of where the policy says so.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Ended, Running, Sickbay, await_that, fixture, proc, spawn};

/// A signal every 2 ms, twenty-five times what is allowed: so on a busy machine, too.
const PERIOD_US: &str = "2000";
const WARN: &str = "[[service]]\nname = \"api\"\nstop_rate = 20\n";
const RELEASE: &str = "[[service]]\nname = \"api\"\nstop_rate = 20\non_stop_rate = \"release\"\n";

fn ticking() -> Running {
    let mut program = spawn(Command::new(fixture("ticking")).arg(PERIOD_US));
    program.stdout_line("ready");
    program
}

#[track_caller]
fn assert_told(line: &str) {
    assert!(
        line.contains("stops a second for 5 s, more than stop_rate = 20: "),
        "{line}"
    );
}

#[test]
fn it_is_said_once_and_nothing_else_happens() {
    let program = ticking();
    let sickbay = Sickbay::new().configured(WARN);
    let (supervisor, _) = sickbay.attach(program.pid());
    await_that("the warning", || {
        supervisor.stderr_so_far().contains("stop_rate").then_some(())
    });
    assert_ne!(proc::await_all_traced(program.pid()), 0);
    supervisor.signal(Signal::SIGINT);
    let outcome = supervisor.finish();
    let told: Vec<&str> = outcome.messages();
    assert_eq!((outcome.code(), told.len()), (0, 2), "{outcome:#?}");
    assert_told(told[1]);
}

#[test]
fn what_was_attached_is_let_go_of_where_the_policy_says_so() {
    let program = ticking();
    let sickbay = Sickbay::new().configured(RELEASE);
    let (supervisor, _) = sickbay.attach(program.pid());
    let outcome = supervisor.finish();
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_told(outcome.messages()[1]);
    assert!(outcome.messages()[1].ends_with("it runs on unsupervised"));
    proc::assert_let_go(program.pid());
    assert_eq!(program.finish().code(), 0);
}

#[test]
fn a_program_that_was_run_goes_on_unsupervised_to_its_own_end() {
    let sickbay = Sickbay::new().configured(RELEASE);
    let mut supervisor = sickbay.start(fixture("ticking"), &[PERIOD_US]);
    let pid = supervisor.stdout_line("ready").parse().unwrap();
    assert_told(&supervisor.stderr_line("sickbay: "));
    proc::assert_let_go(pid);
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.ended(), Ended::Exited(128 + libc::SIGTERM));
}
