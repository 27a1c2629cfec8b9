//! `sickbay capture`: a report of a live process, which does not notice.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Report, Sickbay, await_that, fixture, proc, run, spawn};

/// The thread of that name.
#[track_caller]
fn thread<'a>(report: &'a Report, name: &str) -> &'a serde_json::Value {
    let mut threads = report.list("threads").iter();
    threads
        .find(|thread| thread["name"] == name)
        .unwrap_or_else(|| panic!("no thread {name} in {report:?}"))
}

#[test]
fn a_live_process_is_reported_whole_and_goes_on() {
    let mut server = spawn(Command::new(fixture("server")).arg("8"));
    let port = server.stdout_line("listening on 127.0.0.1:");
    await_that("eight workers in accept", || {
        let tasks = proc::tasks(server.pid()).into_iter();
        let accepting = tasks.filter(|task| proc::system_call(task.tid) == Some(libc::SYS_accept));
        (accepting.count() == 8).then_some(())
    });
    let sickbay = Sickbay::new();
    let (report, outcome) = sickbay.capture(server.pid());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert!(
        outcome.stderr.contains(": 9 threads captured in "),
        "{outcome:#?}"
    );
    proc::assert_let_go(server.pid());
    let answer = run(Command::new(fixture("ask")).args([&port, "GET tea"]));
    assert_eq!(answer.stdout, "GET tea: value of tea\n");

    assert_eq!(report.text("kind"), "capture");
    assert_eq!(report.list("threads").len(), 9);
    assert_eq!(report.number("threads.0.tid"), i64::from(server.pid()));
    assert!(!report.has("fault") && !report.has("signal.number") && !report.has("action"));
    assert!(report.number("pause.others_us") > 0 && !report.has("pause.faulting_us"));
    assert!(report.has("pause.phases.freeze") && report.has("maps") && report.has("modules"));
    let accepting = |thread: &&serde_json::Value| {
        thread["waiting"]["kind"] == "accept"
            && thread["syscall"]["name"] == "accept"
            && thread["state"] == "S"
            && thread["stack"]["captured"].as_u64() > Some(0)
    };
    assert_eq!(
        report.list("threads").iter().filter(accepting).count(),
        8,
        "{report:?}"
    );
}

#[test]
fn a_thread_that_cannot_stop_is_described_all_the_same() {
    let mut program = spawn(&mut Command::new(fixture("vfork")));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (report, outcome) = sickbay.capture(program.pid());
    assert_eq!(outcome.code(), 6, "partial: {outcome:#?}");
    assert!(outcome.stderr.contains("1 did not stop"), "{outcome:#?}");
    let parent = thread(&report, "parent");
    assert_eq!(
        (&parent["state"], &parent["waiting"]["kind"]),
        (&"D".into(), &"vfork".into())
    );
    assert!(parent["registers"].is_null());
    let step = format!("registers of thread {}", parent["tid"]);
    let missing = report
        .list("incomplete")
        .iter()
        .find(|missing| missing["step"] == step.as_str());
    assert_eq!(
        missing.unwrap()["reason"],
        "it did not stop in time",
        "{report:?}"
    );
    program.write("\n");
    assert_eq!(program.finish().code(), 0);
}

#[test]
fn a_stopped_process_stays_stopped() {
    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let is_stopped = || proc::tasks(program.pid()).iter().all(|task| task.state == 'T');
    program.signal(Signal::SIGSTOP);
    await_that("a stopped process", || is_stopped().then_some(()));
    let (_, outcome) = Sickbay::new().capture(program.pid());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    await_that("it to be stopped, and let go", || {
        let tasks = proc::tasks(program.pid());
        (is_stopped() && tasks.iter().all(|task| task.tracer == 0)).then_some(())
    });
    program.signal(Signal::SIGCONT);
    proc::assert_let_go(program.pid());
    program.signal(Signal::SIGTERM);
    assert_eq!(program.ended(), Ended::Killed(libc::SIGTERM, false));
}

#[test]
fn what_cannot_be_captured_is_said() {
    let sickbay = Sickbay::new();
    let refused = |pid: i32| run(sickbay.verb("capture").arg("--pid").arg(pid.to_string()));
    let absent = refused(i32::MAX);
    assert_eq!((absent.code(), absent.stdout.as_str()), (1, ""), "{absent:#?}");
    assert!(absent.stderr.contains("no such process"), "{absent:#?}");
    let init = refused(1);
    assert_eq!(init.code(), 1, "{init:#?}");

    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let (_supervisor, _) = sickbay.attach(program.pid());
    let traced = refused(program.pid());
    assert_eq!(traced.code(), 1, "{traced:#?}");
    assert!(
        traced.stderr.contains("already traced by sickbay (pid "),
        "{traced:#?}"
    );
    kill(Pid::from_raw(program.pid()), Signal::SIGTERM).unwrap();
}

#[test]
fn a_thousand_threads_are_captured() {
    let mut program = spawn(Command::new(fixture("threads_hold")).arg("1000"));
    program.stdout_line("ready");
    let configuration = "[[service]]\nname = \"api\"\nfreeze_timeout = \"10s\"\n";
    let (report, outcome) = Sickbay::new().configured(configuration).capture(program.pid());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert_eq!(report.list("threads").len(), 1001);
    let waits_for_signal = |thread: &&serde_json::Value| thread["waiting"]["kind"] == "signal";
    assert_eq!(
        report.list("threads").iter().filter(waits_for_signal).count(),
        1000
    );
    println!("{}", outcome.stderr);
    assert_eq!(program.finish().code(), 0);
}

/// Another tracer takes the place of one that dies, and the program does not notice even that: a call that the stop
/// interrupted is made to restart before anything else is done.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_during_a_capture_leaves_no_trace() {
    for point in ["tracer.capture.frozen", "tracer.capture.copied"] {
        let mut program = spawn(Command::new(fixture("eintr")).args(["epoll_wait", "stdin"]));
        program.stdout_line("ready");
        let sickbay = Sickbay::new();
        let mark = sickbay.scratch().join("mark");
        let sickbay = sickbay
            .variable("SICKBAY_FAIL", point)
            .variable("SICKBAY_FAIL_MARK", &mark);
        let (report, outcome) = sickbay.capture(program.pid());
        assert!(mark.exists(), "{point} was not reached");
        assert_eq!(outcome.code(), 0, "{point}: {outcome:#?}");
        assert_eq!(report.list("threads").len(), 2, "{point}");
        proc::assert_let_go(program.pid());
        let outcome = program.finish();
        assert_eq!(
            outcome.stdout.lines().last(),
            Some("epoll_wait: sent 0, interrupted 0"),
            "{point}"
        );
    }
}
