//! Who waits for whom: locks of real programs, in captures of live processes and in reports of faults.

use std::process::Command;

use serde_json::Value;

use crate::support::{Ended, Report, Running, Sickbay, fixture, is_root, proc, run, skip, spawn};

/// A program whose threads wait as its scene says.
fn scene(arguments: &[&str]) -> Running {
    let mut program = spawn(Command::new(fixture("locks")).args(arguments));
    program.stdout_line("ready");
    program
}

#[track_caller]
fn captured(arguments: &[&str]) -> Report {
    let program = scene(arguments);
    let (report, outcome) = Sickbay::new().capture(program.pid());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    proc::assert_let_go(program.pid());
    report
}

#[track_caller]
fn thread<'a>(report: &'a Report, name: &str) -> &'a Value {
    let mut threads = report.list("threads").iter();
    threads
        .find(|thread| thread["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {report:?}"))
}

/// The lock that a thread waits for.
#[track_caller]
fn lock_of<'a>(report: &'a Report, waiter: &str) -> &'a Value {
    let waiter = thread(report, waiter);
    let mut locks = report.list("locks").iter();
    let waits = |lock: &&Value| {
        lock["waiters"]
            .as_array()
            .is_some_and(|waiters| waiters.contains(&waiter["tid"]))
    };
    let lock = locks
        .find(waits)
        .unwrap_or_else(|| panic!("{waiter} waits for no lock: {report:?}"));
    assert_eq!(waiter["waiting"]["address"], lock["address"]);
    assert_eq!(waiter["waiting"]["owner_tid"], lock["owner_tid"]);
    lock
}

#[test]
fn a_deadlock_of_three_threads_is_named() {
    let program = scene(&["cycle", "3"]);
    let sickbay = Sickbay::new();
    let (report, outcome) = sickbay.capture(program.pid());
    assert_eq!(report.text("fault.cause"), "deadlock");
    let name = |index: usize| {
        let worker = thread(&report, &format!("worker-{}", index % 3 + 1));
        (worker["name"].as_str().unwrap(), worker["tid"].as_i64().unwrap())
    };
    let lock = |index: usize| lock_of(&report, name(index).0)["address"].as_str().unwrap();
    let sentence = format!(
        "{} ({}) waits for the mutex at {} held by {} ({}), which waits for the mutex at {} held by {} ({}), \
         which waits for the mutex at {} held by {}",
        name(0).0,
        name(0).1,
        lock(0),
        name(1).0,
        name(1).1,
        lock(1),
        name(2).0,
        name(2).1,
        lock(2),
        name(0).0,
    );
    assert_eq!(report.text("deadlocks.0.detail"), sentence);
    assert_eq!(report.list("deadlocks.0.threads").len(), 3);
    assert!(outcome.stderr.contains(&sentence), "{outcome:#?}");
    let text = run(&mut sickbay.verb("show")).stdout;
    let head: Vec<&str> = text.lines().take(10).collect();
    assert!(head.iter().any(|line| line.contains(&sentence)), "{head:#?}");
}

#[test]
fn every_kind_of_lock_is_known_with_its_owner() {
    for (scene, waiter, kind, word) in [
        ("robust", "worker-2", "pthread_mutex_robust", "mutex"),
        ("pi", "worker-2", "pthread_mutex_pi", "mutex"),
        ("recursive", "worker-2", "pthread_mutex", "mutex"),
        ("writer", "worker-2", "pthread_rwlock", "rwlock"),
        ("writer", "worker-3", "pthread_rwlock", "rwlock"),
        ("stream", "worker-2", "stdio", "stdio lock"),
    ] {
        let report = captured(&[scene]);
        let lock = lock_of(&report, waiter);
        assert_eq!(lock["kind"], kind, "{scene}");
        assert_eq!(lock["owner_tid"], thread(&report, "worker-1")["tid"], "{scene}");
        assert_eq!(thread(&report, waiter)["waiting"]["kind"], word, "{scene}");
        assert!(
            !report.has("deadlocks") && !report.has("fault"),
            "{scene}: {report:?}"
        );
    }
}

#[test]
fn what_has_no_owner_is_known_too() {
    for (scene, waiter, kind, word) in [
        ("readers", "worker-3", "pthread_rwlock", "rwlock"),
        ("condition", "worker-2", "pthread_cond", "condition"),
        ("semaphore", "worker-1", "sem", "semaphore"),
    ] {
        let report = captured(&[scene]);
        let lock = lock_of(&report, waiter);
        assert_eq!(
            (&lock["kind"], &lock["owner_tid"]),
            (&kind.into(), &Value::Null),
            "{scene}"
        );
        assert_eq!(thread(&report, waiter)["waiting"]["kind"], word, "{scene}");
        let readers = if scene == "readers" { 2.into() } else { Value::Null };
        assert_eq!(lock["readers"], readers, "{scene}");
    }
}

#[test]
fn circles_of_one_and_of_joins_are_deadlocks() {
    let alone = captured(&["self"]);
    assert!(
        alone.text("deadlocks.0.detail").ends_with("held by itself"),
        "{alone:?}"
    );
    let join = captured(&["join"]);
    assert_eq!(lock_of(&join, "worker-1")["kind"], "pthread_join");
    let sentence = join.text("deadlocks.0.detail");
    assert!(
        sentence.contains("waits for worker-2 (") && sentence.contains(" to end, which waits"),
        "{sentence}"
    );
}

#[test]
fn an_abandoned_lock_is_named() {
    let report = captured(&["ended"]);
    assert_eq!(report.text("fault.cause"), "lock held by a thread that has ended");
    assert_eq!(lock_of(&report, "worker-2")["owner_ended"], true);
}

/// A wait with a timeout goes on as restart_syscall(2) after the first capture.
#[test]
fn a_wait_is_known_again_after_its_interruption() {
    let program = scene(&["timed"]);
    for _ in 0..2 {
        let (report, _) = Sickbay::new().capture(program.pid());
        assert_eq!(thread(&report, "worker-1")["syscall"]["name"], "futex");
        let sentence = report.text("deadlocks.0.detail");
        assert!(
            sentence.contains("waits (with a time limit) for the mutex"),
            "{sentence}"
        );
    }
}

#[test]
fn owners_are_found_in_another_pid_namespace() {
    if !is_root() {
        return skip("a pid namespace takes root");
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]);
    let mut unshare = spawn(command.arg(fixture("locks")).args(["cycle", "3"]));
    unshare.stdout_line("ready");
    let program = proc::children(unshare.pid())[0];
    let (report, _) = Sickbay::new().capture(program);
    assert_ne!(report.number("process.tgid_ns"), i64::from(program));
    assert_eq!(report.list("deadlocks.0.threads").len(), 3, "{report:?}");
    let outer = thread(&report, "worker-2")["tid"].clone();
    assert_eq!(lock_of(&report, "worker-1")["owner_tid"], outer);
}

#[test]
fn the_locks_of_a_thread_that_faults_are_found_wherever_they_are() {
    let sickbay = Sickbay::new();
    let mut supervisor = sickbay.start(fixture("locks"), &["fault"]);
    let held = supervisor.stdout_line("locks ");
    supervisor.stdout_line("ready");
    assert_eq!(supervisor.finish().ended, Ended::Exited(139));
    let report = sickbay.only_report();
    let owner = &thread(&report, "worker-1")["tid"];
    let of_owner = report
        .list("locks")
        .iter()
        .filter(|lock| lock["owner_tid"] == *owner);
    let addresses: Vec<&str> = of_owner.map(|lock| lock["address"].as_str().unwrap()).collect();
    for address in held.split(' ') {
        assert!(
            addresses.contains(&address),
            "{address} of {held} is not in {addresses:?}"
        );
    }
    assert_eq!(addresses.len(), held.split(' ').count(), "{addresses:?}");
    assert_eq!(lock_of(&report, "worker-2")["kind"], "pthread_mutex");
}
