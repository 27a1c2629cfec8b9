//! Threads of language runtimes: taken away only where the runtime goes on without them, and their own handling of
//! faults untouched.
#![cfg(target_arch = "x86_64")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Ended, Report, Running, Sickbay, await_that, fixture, found_in_path, is_built, proc, pythons, skip, spawn,
};

const ISOLATE: &str =
    "[[service]]\nname = \"api\"\non_fault = \"isolate\"\n[service.isolation]\nprobation = \"100ms\"\n";

/// Threads are taken, where no exception can be raised in them.
fn taking() -> Sickbay {
    Sickbay::new().configured(&ISOLATE.replace("\"isolate\"", "[\"exit\", \"park\"]"))
}

fn isolating() -> Sickbay {
    Sickbay::new().configured(ISOLATE)
}

#[track_caller]
fn settled(sickbay: &Sickbay) -> Report {
    await_that("a settled report", || {
        let reports = sickbay.reports();
        reports.into_iter().find(|report| report.has("threads"))
    })
}

/// The signal was delivered, and the report says which runtime forbade everything else.
#[track_caller]
fn assert_delivered_for(report: &Report, why: &str) {
    assert_eq!(report.text("action.taken"), "deliver", "{report:?}");
    let reason = report.text("action.reason");
    assert!(
        reason.contains("too dangerous: ") && reason.contains(why),
        "{reason}"
    );
}

/// The program goes on counting.
#[track_caller]
fn assert_counts(program: &mut Running) {
    let mut asked = 0;
    let mut count = || -> u64 {
        asked += 1;
        program.write(&format!("count {asked}\n"));
        program.stdout_line(&format!("count {asked}: ")).parse().unwrap()
    };
    let before = count();
    await_that("a higher count", || (count() > before + 20).then_some(()));
}

#[test]
fn a_python_thread_that_holds_the_interpreter_lock_takes_its_signal() {
    for python in pythons("True") {
        let sickbay = taking();
        let mut program = sickbay.start(&python, &[fixture("interpreter_lock.py")]);
        program.stdout_line("ready ");
        program.write("held\n");
        assert_eq!(program.ended(), Ended::Exited(128 + libc::SIGSEGV), "{python}");
        assert_delivered_for(&sickbay.only_report(), "may hold its interpreter lock (GIL)");
    }
}

#[test]
fn a_python_thread_without_the_interpreter_lock_is_ended() {
    for python in pythons("True") {
        let sickbay = taking();
        let mut program = sickbay.start(&python, &[fixture("interpreter_lock.py")]);
        program.stdout_line("ready ");
        program.write("released\n");
        let report = settled(&sickbay);
        assert_eq!(report.text("action.taken"), "exit", "{report:?}");
        let evidence = report.list("action.evidence");
        let says = |text: &str| evidence.iter().any(|line| line.as_str().unwrap().contains(text));
        assert!(says("does not hold its interpreter lock"), "{evidence:?}");
        assert_counts(&mut program);
    }
}

#[test]
fn go_keeps_its_own_faults_and_never_loses_a_thread() {
    if !is_built("recover") {
        return skip("go is not installed");
    }
    let sickbay = isolating();
    let outcome = sickbay.run(fixture("recover"), &["1000"]);
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (0, "recovered 1000\n"));
    assert!(sickbay.reports().is_empty());
    let outcome = sickbay.run(fixture("recover"), &["crash"]);
    assert_eq!(outcome.code(), 128 + libc::SIGABRT, "{outcome:#?}");
    assert_delivered_for(&sickbay.only_report(), "runs Go code");
}

#[test]
fn node_loses_a_worker_and_never_its_main_thread() {
    let Some(node) = found_in_path("node") else {
        return skip("node is not installed");
    };
    let worker = fixture("worker.js");
    let arguments = ["--allow-natives-syntax", worker.to_str().unwrap()];
    let sickbay = isolating();
    let mut program = sickbay.start(&node, &arguments);
    program.stdout_line("ready ");
    program.write("worker\n");
    let report = settled(&sickbay);
    assert_eq!(report.text("action.taken"), "exit", "{report:?}");
    assert_counts(&mut program);
    program.write("exit\n");
    assert_eq!(program.ended(), Ended::Exited(7));

    let sickbay = isolating();
    let mut program = sickbay.start(&node, &arguments);
    program.stdout_line("ready ");
    program.write("main\n");
    assert_eq!(program.ended(), Ended::Exited(128 + libc::SIGTRAP));
    assert_delivered_for(&sickbay.only_report(), "runs V8");
}

#[test]
fn a_jvm_keeps_its_own_faults_and_never_loses_a_thread() {
    let Some(java) = found_in_path("java") else {
        return skip("java is not installed");
    };
    let sickbay = isolating();
    assert_eq!(sickbay.run(&java, &["-version"]).code(), 0);
    assert!(sickbay.reports().is_empty());

    // It asks for a password, with all of its threads at work.
    let waiting = [
        "sun.security.tools.keytool.Main",
        "-genkeypair",
        "-keystore",
        "store",
    ];
    let mut program = spawn(
        sickbay
            .run_command(&java, &waiting)
            .current_dir(sickbay.scratch()),
    );
    let pid = await_that("a JVM with all its threads", || {
        let is_ready = |pid: &i32| proc::tasks(*pid).iter().any(|task| task.name == "Service Thread");
        proc::children(program.pid()).into_iter().find(is_ready)
    });
    kill(Pid::from_raw(pid), Signal::SIGSEGV).unwrap();
    assert_eq!(program.ended(), Ended::Exited(128 + libc::SIGABRT));
    assert_delivered_for(&sickbay.only_report(), "runs a JVM");
}

#[test]
fn erlang_never_loses_a_thread() {
    let Some(erl) = found_in_path("erl") else {
        return skip("erlang is not installed");
    };
    let sickbay = isolating();
    let arguments = ["-noshell", "-eval", "erlang:halt(abort)."];
    let mut command = sickbay.run_command(&erl, &arguments);
    let mut program = spawn(command.current_dir(sickbay.scratch()));
    assert_eq!(program.ended(), Ended::Exited(128 + libc::SIGABRT));
    assert_delivered_for(&sickbay.only_report(), "runs Erlang's BEAM");
}
