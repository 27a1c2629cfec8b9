//! Threads and signals faster than anybody can count, while the supervisor attaches, holds and lets go.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Ended, Sickbay, await_that, dying, fixture, proc, skip, spawn};

#[test]
fn attaching_while_8_threads_spawn_threads() {
    let mut storm = spawn(&mut Command::new(fixture("spawner")));
    storm.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, _) = sickbay.attach(storm.pid());
    storm.write("stop\n");
    let held = storm.stdout_line("holding");
    assert!(held.starts_with("41 threads"), "{held}");
    // pthread_join(3) returns before the kernel has taken the thread off the list.
    await_that("those that have ended to be gone", || {
        (proc::tasks(storm.pid()).len() == 41).then_some(())
    });
    proc::await_all_traced(storm.pid());

    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(storm.pid());
    assert_eq!(storm.finish().code(), 0);
}

/// Threads that end before their birth is told stay in no table.
#[test]
fn what_is_let_go_in_the_end_is_what_there_is() {
    let sickbay = Sickbay::new();
    let mut storm = spawn(&mut Command::new(fixture("spawner")));
    storm.stdout_line("ready");
    let mut supervisor = spawn(sickbay.attach_command(storm.pid()).env("SICKBAY_LOG", "debug"));
    supervisor.stderr_line("sickbay: attached: ");
    storm.write("stop\n");
    storm.stdout_line("holding");
    supervisor.signal(Signal::SIGINT);
    supervisor.stderr_line("sickbay: letting go of 41 threads of 1 processes");
    assert_eq!(supervisor.finish().code(), 0);
}

#[test]
fn letting_go_while_8_threads_spawn_threads() {
    let mut storm = spawn(&mut Command::new(fixture("spawner")));
    storm.stdout_line("ready");
    for _ in 0..3 {
        let sickbay = Sickbay::new();
        let (supervisor, _) = sickbay.attach(storm.pid());
        supervisor.signal(Signal::SIGINT);
        assert_eq!(supervisor.finish().code(), 0);
        assert!(proc::is_alive(storm.pid()));
    }
    storm.write("stop\n");
    storm.stdout_line("holding");
    proc::assert_let_go(storm.pid());
    assert_eq!(storm.finish().code(), 0);
}

#[test]
fn no_signal_is_lost_or_reordered() {
    let sickbay = Sickbay::new();
    let mut counter = sickbay.start(fixture("counter"), &["20000"]);
    let pid = counter.stdout_line("ready");
    let sender = spawn(Command::new(fixture("counter")).args(["send", &pid, "20000"]));
    assert_eq!(sender.finish().stdout, "sent 20000\n");
    let outcome = counter.finish();
    assert_eq!(
        (outcome.code(), outcome.stdout.lines().last()),
        (0, Some("received 20000, in order")),
        "{outcome:#?}"
    );
}

#[test]
fn a_thousand_threads_are_held_and_let_go() {
    let mut program = spawn(Command::new(fixture("threads_hold")).arg("1000"));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, announced) = sickbay.attach(program.pid());
    assert_eq!(announced, "1 process, 1001 threads");
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(program.pid());
}

/// A thread that was silent for long is answered although others stop all the time.
#[test]
fn a_silent_threads_fault_is_answered_in_a_storm() {
    let storm = dying("storm", &["8", "20000"]).by(libc::SIGSEGV).thread("silent");
    let report = storm.cause(&["null pointer dereference"]).in_program().check();
    assert_eq!(report.list("threads").len(), 10);
}

/// What stops while four threads storm raises no SIGCHLD of its own as often as not. It is found all the same, one
/// hundred times in a row, and so is a fault.
#[test]
fn silent_threads_among_8000_are_answered_while_others_storm() {
    let mut program = spawn(Command::new(fixture("silence")).args(["8000", "4", "100"]));
    program.stdout_line("ready");
    let sickbay =
        Sickbay::new().configured("[[service]]\nname = \"api\"\n[service.report]\nmax_per_minute = 0\n");
    let (supervisor, announced) = sickbay.attach(program.pid());
    assert_eq!(announced, "1 process, 8001 threads");
    program.write("storm\n");
    program.stdout_line("answered 100");
    program.write("fault\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    assert_eq!(supervisor.finish().code(), 0);
}

/// SIGCHLD may tell of a stop that was answered since; the next one must not be taken for it. Each of these runs meets the
/// moment in which that can happen about every other time.
#[test]
fn no_signal_is_taken_for_another_one() {
    for threads in ["2", "3", "4"] {
        let sickbay = Sickbay::new();
        let outcome = sickbay.run(fixture("alternate"), &[threads, "50000"]);
        assert_eq!(
            (outcome.code(), outcome.stdout.as_str()),
            (0, "every signal was the one that was sent\n"),
            "{outcome:#?}"
        );
    }
}

/// Where one thread storms, its tracer shares its CPU; the storm over, it may run anywhere again.
#[test]
fn the_tracer_follows_a_storming_thread_and_returns() {
    let allowed = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        list.unwrap().trim().to_owned()
    };
    let home = allowed(std::process::id() as i32);
    if home.parse::<u32>().is_ok() {
        return skip("only one CPU");
    }
    let mut program = spawn(Command::new(fixture("silence")).args(["1", "1", "1"]));
    program.stdout_line("ready");
    let (supervisor, _) = Sickbay::new().attach(program.pid());
    let tracer = proc::await_all_traced(program.pid());
    assert_eq!(allowed(tracer), home);
    program.write("storm\n");
    await_that("a move to one CPU", || allowed(tracer).parse::<u32>().ok());
    program.signal(Signal::SIGSTOP);
    await_that("the way back", || (allowed(tracer) == home).then_some(()));
    assert_eq!(allowed(program.pid()), home, "the program is never moved");
    program.signal(Signal::SIGKILL);
    assert_eq!(supervisor.finish().code(), 0);
}

/// A thread in vfork(2) stops for nobody, so that everything waits for it in vain. What stops or ends meanwhile, and
/// afterwards, is answered all the same.
#[test]
fn nobody_is_forgotten_after_a_thread_that_did_not_stop() {
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("vforks"), &["200", "1", "child"]);
    assert_eq!(
        outcome.stdout, "child died of 11, 200 of 200 threads took all\n",
        "{outcome:#?}"
    );
}

#[test]
fn a_process_with_threads_in_vfork_dies_whole() {
    let sickbay = Sickbay::new();
    let outcome = sickbay.run(fixture("vforks"), &["10", "5"]);
    assert_eq!(outcome.code(), 139, "{outcome:#?}");
    // The processes for which they waited are killed with them, and leave records.
    let reports = sickbay.reports();
    let faults = reports.iter().filter(|report| report.text("kind") == "fault");
    assert_eq!(faults.count(), 1);
}
