//! A signal that somebody sent takes effect although the tracer dies while the thread is stopped for it.
//!
//! Unlike a fault, which the instruction raises again, such a signal exists once: had the tracer consumed the stop, it
//! would be lost with the tracer.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Armed;
use crate::support::{Ended, Running, await_that, fixture, proc, spawn};

/// A program that says which signals it takes, held by a tracer that dies at that point.
fn held(point: &'static str) -> (Armed, Running, Running) {
    let armed = Armed::at(point);
    let mut program = spawn(&mut Command::new(fixture("obey")));
    program.stdout_line("ready");
    let (supervisor, _) = armed.sickbay.attach(program.pid());
    (armed, program, supervisor)
}

#[test]
fn one_that_ends_the_program() {
    for point in [
        "tracer.stop.seen",
        "tracer.fault.stopped",
        "tracer.fault.frozen",
        "tracer.fault.captured",
        "tracer.fault.delivered",
    ] {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
            let (armed, mut program, _supervisor) = held(point);
            program.signal(signal);
            assert_eq!(program.ended(), Ended::Killed(signal as i32, false), "{point}");
            armed.await_reached();
        }
    }
}

#[test]
fn one_that_the_program_handles() {
    for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGWINCH, Signal::SIGURG] {
        let (armed, mut program, _supervisor) = held("tracer.stop.seen");
        program.signal(signal);
        let told = program.stdout_line(&format!("took {signal} "));
        assert_eq!(told, format!("code 0 pid {} value 0", std::process::id()));
        armed.await_reached();
        proc::assert_goes_on(program.pid());
    }
}

/// Signal, sender and payload, in the order in which they were queued.
#[test]
fn a_queue_of_realtime_signals() {
    const COUNT: &str = "100";
    let armed = Armed::at("tracer.stop.seen");
    let mut counter = spawn(Command::new(fixture("counter")).arg(COUNT));
    let pid = counter.stdout_line("ready");
    let (_supervisor, _) = armed.sickbay.attach(counter.pid());
    let sender = spawn(Command::new(fixture("counter")).args(["send", &pid, COUNT]));
    assert_eq!(sender.finish().code(), 0);
    let outcome = counter.finish();
    assert!(outcome.stdout.contains("received 100, in order"), "{outcome:#?}");
    assert!(armed.was_reached());
}

/// The parent is told of the stop, and of the end of it.
#[test]
fn one_that_stops_the_program() {
    let (armed, program, _supervisor) = held("tracer.stop.seen");
    let pid = Pid::from_raw(program.pid());
    program.signal(Signal::SIGSTOP);
    let told = await_that("the parent to be told of the stop", || {
        let options = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        match waitpid(pid, Some(options)).unwrap() {
            WaitStatus::StillAlive => None,
            told => Some(told),
        }
    });
    assert_eq!(told, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    armed.await_reached();
    kill(pid, Signal::SIGCONT).unwrap();
    proc::assert_goes_on(program.pid());
}

/// An ignored signal that comes while the tracer lets go interrupts no system call: threads that are stopped then are let
/// go one by one, before the end of the tracer lets go of the others.
#[test]
fn one_that_nobody_would_notice() {
    let armed = Armed::holding_at("tracer.release");
    let mut program = spawn(Command::new(fixture("eintr")).args(["epoll_wait", "stdin"]));
    let waiting = await_that("a thread in epoll_wait", || {
        let mut tasks = proc::tasks(program.pid()).into_iter();
        tasks.find(|task| {
            [libc::SYS_epoll_wait, libc::SYS_epoll_pwait]
                .map(Some)
                .contains(&proc::system_call(task.tid))
        })
    });
    let (supervisor, _) = armed.sickbay.attach(program.pid());
    supervisor.signal(Signal::SIGTERM);
    let tracer = armed.await_held();
    // The kernel gives it to the thread that the id names, if that can take it (kernel/signal.c, complete_signal).
    kill(Pid::from_raw(waiting.tid), Signal::SIGWINCH).unwrap();
    await_that("a thread stopped for it", || {
        let tasks = proc::tasks(program.pid());
        tasks
            .iter()
            .any(|task| task.tid == waiting.tid && task.state == 't')
            .then_some(())
    });
    kill(tracer, Signal::SIGCONT).unwrap();
    assert_eq!(supervisor.finish().code(), 0);
    program.close_stdin();
    assert_eq!(program.stdout_line("epoll_wait: "), "sent 0, interrupted 0");
}
