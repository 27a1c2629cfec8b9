//! Stopping and continuing: a supervised process is stopped and continued by others as ever.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Running, Sickbay, await_that, fixture, proc, run, spawn};

fn waiting_program() -> (Running, Pid) {
    let mut program = spawn(Command::new(fixture("workers")).args(["10", "0", "stdin"]));
    program.stdout_line("ready");
    let pid = Pid::from_raw(program.pid());
    (program, pid)
}

/// Both letters mean stopped: `t` is how a stop shows while a tracer listens.
#[track_caller]
fn await_stopped(pid: i32) {
    await_that(
        &format!("every thread of {pid} stopped: {:?}", proc::tasks(pid)),
        || {
            proc::tasks(pid)
                .iter()
                .all(|task| matches!(task.state, 'T' | 't'))
                .then_some(())
        },
    );
}

#[test]
fn the_parent_is_told_as_ever() {
    let plain = run(&mut Command::new(fixture("stops")));
    assert_eq!(plain.code(), 0, "{plain:#?}");
    let supervised = Sickbay::new().run(fixture("stops"), &[] as &[&str]);
    assert_eq!((supervised.code(), &supervised.stdout), (0, &plain.stdout));
}

#[test]
fn a_supervised_process_stops_and_continues() {
    let (program, pid) = waiting_program();
    let sickbay = Sickbay::new();
    let (_supervisor, _) = sickbay.attach(program.pid());
    for stop in [Signal::SIGSTOP, Signal::SIGSTOP] {
        kill(pid, stop).unwrap();
        await_stopped(program.pid());
        kill(pid, Signal::SIGCONT).unwrap();
        proc::assert_goes_on(program.pid());
    }
    assert!(sickbay.reports().is_empty());
}

#[test]
fn a_stopped_process_stays_stopped_when_taken_and_when_let_go() {
    let (mut program, pid) = waiting_program();
    kill(pid, Signal::SIGSTOP).unwrap();
    await_stopped(program.pid());

    let sickbay = Sickbay::new();
    let (supervisor, announced) = sickbay.attach(program.pid());
    assert_eq!(announced, "1 process, 11 threads");
    await_stopped(program.pid());

    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    await_that("stopped and not traced", || {
        proc::tasks(program.pid())
            .iter()
            .all(|task| task.state == 'T' && task.tracer == 0)
            .then_some(())
    });
    kill(pid, Signal::SIGCONT).unwrap();
    proc::assert_let_go(program.pid());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(program.ended(), Ended::Killed(libc::SIGTERM, false));
}

#[test]
fn a_process_stopped_while_held_stays_stopped_when_let_go() {
    let (program, pid) = waiting_program();
    let sickbay = Sickbay::new();
    let (supervisor, _) = sickbay.attach(program.pid());
    kill(pid, Signal::SIGSTOP).unwrap();
    await_stopped(program.pid());
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.finish().code(), 0);
    await_that("stopped and not traced", || {
        proc::tasks(program.pid())
            .iter()
            .all(|task| task.state == 'T' && task.tracer == 0)
            .then_some(())
    });
    kill(pid, Signal::SIGCONT).unwrap();
    proc::assert_let_go(program.pid());
}
