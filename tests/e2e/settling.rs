//! What an operator sees of isolated threads, and decides about one that is held or parked.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    Ended, Outcome, Report, Running, Sickbay, await_that, fixture, found_in_path, is_root, proc, run, skip,
    spawn, unprivileged,
};

/// Nobody waits for the end of the probation.
const HOLD: &str =
    "[[service]]\nname = \"api\"\non_fault = \"hold\"\n[service.isolation]\nprobation = \"60s\"\n";
const WORKERS: usize = 4;

/// A verb that asks whoever supervises a thread.
#[track_caller]
fn ask(words: &[&str]) -> Outcome {
    run(Command::new(Sickbay::program()).args(words))
}

#[track_caller]
fn settle(tid: i32, action: &str) -> Outcome {
    ask(&["settle", &tid.to_string(), "--action", action])
}

#[track_caller]
fn refused(outcome: &Outcome, code: i32, why: &str) {
    assert_eq!(outcome.code(), code, "{outcome:#?}");
    assert!(outcome.stderr.contains(why), "{why}: {outcome:#?}");
}

/// What `threads` says of a thread; none if it lists no such thread.
#[track_caller]
fn listed(words: &[&str], tid: i32) -> Option<Value> {
    let outcome = ask(&[&["threads", "--json"], words].concat());
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let threads: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    threads.into_iter().find(|thread| thread["tid"] == tid)
}

/// A program with a thread that is held after its fault.
struct Scene {
    sickbay: Sickbay,
    supervisor: Running,
    pid: i32,
    tid: i32,
}

impl Scene {
    /// Workers of a C program, of which one faults.
    fn workers() -> Self {
        Self::of(Sickbay::new(), &["isolated", "nothing"], "fault 2\n")
    }

    fn of(sickbay: Sickbay, program: &[&str], request: &str) -> Self {
        Self::configured(sickbay, HOLD, program, request)
    }

    fn configured(sickbay: Sickbay, config: &str, program: &[&str], request: &str) -> Self {
        let sickbay = sickbay.configured(config);
        let mut supervisor = sickbay.start(fixture(program[0]), &program[1..]);
        supervisor.stdout_line("ready ");
        let pid = await_that("the program", || {
            let traced = |pid: &i32| proc::tasks(*pid).first().is_some_and(|task| task.tracer != 0);
            proc::children(supervisor.pid()).into_iter().find(traced)
        });
        supervisor.write(request);
        let tid = await_that("a held thread", || {
            let outcome = ask(&["threads", "--json", "--pid", &pid.to_string()]);
            let threads: Vec<Value> = serde_json::from_str(&outcome.stdout).ok()?;
            let held = threads
                .into_iter()
                .find(|thread| thread["isolated"]["state"] == "held")?;
            held["tid"].as_i64()
        });
        Self {
            sickbay,
            supervisor,
            pid,
            tid: tid as i32,
        }
    }

    /// A thread of the program that is neither held nor parked.
    fn other(&self) -> i32 {
        let tasks = proc::tasks(self.pid);
        let other = tasks.iter().find(|task| task.tid != self.tid);
        other.unwrap().tid
    }

    #[track_caller]
    fn isolated(&self) -> Value {
        let thread = listed(&["--pid", &self.pid.to_string()], self.tid);
        thread.expect("the thread is listed")["isolated"].clone()
    }

    /// The settled report says that an operator decided, and what.
    #[track_caller]
    fn assert_reported(&self, action: &str) {
        let report = await_that("a settled report", || {
            let reports = self.sickbay.reports();
            reports
                .into_iter()
                .find(|report| report.has("threads") && report.text("action.taken") == action)
        });
        let reason = report.text("action.reason");
        assert!(
            reason.starts_with("on_fault asks for hold; an operator (user id ")
                && reason.contains(&format!(") asks for {action}")),
            "{reason}"
        );
        assert_eq!(report.text("signal.name"), "SIGSEGV");
    }
}

#[test]
fn more_time_changes_nothing_of_what_is_planned() {
    let planned = HOLD.replace("\"hold\"", "\"exit\"");
    let scene = Scene::configured(Sickbay::new(), &planned, &["isolated", "nothing"], "fault 2\n");
    let until = |isolated: &Value| {
        isolated["until"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    let before = scene.isolated();
    assert_eq!(before["action"], "exit");
    let outcome = settle(scene.tid, "hold");
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let after = scene.isolated();
    assert_eq!(
        (&after["state"], &after["action"]),
        (&before["state"], &before["action"])
    );
    assert!(until(&after) > until(&before), "{before} {after}");
}

#[test]
fn a_held_thread_that_is_given_its_signal_dies_of_the_original_fault() {
    let mut scene = Scene::workers();
    let isolated = scene.isolated();
    assert_eq!(isolated["action"], "hold");
    assert_eq!(isolated["name"], "worker-2");
    assert_eq!(isolated["locks"], serde_json::json!([]));
    assert_eq!(isolated["waiters"], serde_json::json!([]));
    for time in ["since", "until"] {
        assert!(isolated[time].as_str().unwrap().ends_with('Z'), "{isolated}");
    }
    let table = ask(&["threads", "--pid", &scene.pid.to_string()]).stdout;
    let line = table.lines().find(|line| line.starts_with("worker-2 (")).unwrap();
    assert!(line.contains("held since SIGSEGV "), "{line}");
    assert!(line.contains(" ago, which it takes in "), "{line}");
    assert!(
        line.ends_with("; holds no lock that was found; nobody is seen to wait for it"),
        "{line}"
    );

    let settled = settle(scene.tid, "deliver");
    assert_eq!(settled.code(), 0, "{settled:#?}");
    assert_eq!(
        settled.stderr,
        format!("sickbay: thread {} is settled by deliver\n", scene.tid)
    );
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    scene.assert_reported("deliver");
    let report = scene.sickbay.only_report();
    assert_eq!(report.address("signal.address"), 0);
    assert_eq!(report.text("fault.thread_name"), "worker-2");
    let whole = |thread: &&Value| thread["registers"].as_object().is_some_and(|set| set.len() > 16);
    let whole = report.list("threads").iter().filter(whole).count();
    assert_eq!(whole, WORKERS + 1, "the process that died was copied whole");
    refused(&settle(scene.tid, "deliver"), 4, "there is no thread");
}

#[test]
fn a_held_thread_is_ended_or_put_to_sleep_at_once() {
    for (action, state) in [("exit", "ended"), ("park", "parked")] {
        let mut scene = Scene::workers();
        let settled = settle(scene.tid, action);
        assert_eq!(settled.code(), 0, "{settled:#?}");
        scene.assert_reported(action);
        if action == "exit" {
            await_that("the end of the thread", || {
                let tasks = proc::tasks(scene.pid);
                tasks.iter().all(|task| task.tid != scene.tid).then_some(())
            });
        }
        let isolated = scene.isolated();
        assert_eq!(isolated["state"], state, "{isolated}");
        assert_eq!(isolated["action"], action, "{isolated}");
        scene.supervisor.write("counts 1\n");
        scene.supervisor.stdout_line("counts 1: ");
    }
}

#[test]
fn a_held_thread_is_made_to_throw() {
    let mut scene = Scene::of(Sickbay::new(), &["thrower"], "fault\n");
    let settled = settle(scene.tid, "isolate");
    assert_eq!(settled.code(), 0, "{settled:#?}");
    assert!(settled.stderr.contains("is settled by throw"), "{settled:#?}");
    let said = scene.supervisor.stdout_line("failed: ");
    assert!(
        said.starts_with("SIGSEGV: null pointer dereference at 0x0 in parse_header"),
        "{said}"
    );
    scene.assert_reported("throw");
    refused(&settle(scene.tid, "throw"), 4, "is neither held nor parked");
    // Nothing was lost, so the next one is held as well.
    scene.supervisor.write("fault\n");
    await_that("the thread is held again", || {
        let thread = listed(&["--pid", &scene.pid.to_string()], scene.tid)?;
        (thread["isolated"]["state"] == "held").then_some(())
    });
    assert_eq!(settle(scene.tid, "throw").code(), 0);
    scene.supervisor.stdout_line("failed: ");
    scene.supervisor.close_stdin();
}

impl Scene {
    /// Workers of which one is parked, and reported so.
    fn parked(sickbay: Sickbay) -> Self {
        let scene = Self::of(sickbay, &["isolated", "nothing"], "fault 2\n");
        assert_eq!(settle(scene.tid, "park").code(), 0);
        scene.assert_reported("park");
        scene.await_state('S');
        scene
    }

    #[track_caller]
    fn await_state(&self, state: char) {
        await_that("the thread's state", || {
            let tasks = proc::tasks(self.pid);
            let is_it = |task: &&proc::Task| task.tid == self.tid && task.state == state;
            tasks.iter().find(is_it).map(|_| ())
        });
    }

    #[track_caller]
    fn await_its_end(&self) {
        await_that("the end of the thread", || {
            let tasks = proc::tasks(self.pid);
            tasks.iter().all(|task| task.tid != self.tid).then_some(())
        });
    }

    #[track_caller]
    fn assert_goes_on(&mut self) {
        for command in ["counts 1\n", "setgid\n"] {
            self.supervisor.write(command);
        }
        self.supervisor.stdout_line("counts 1: ");
        assert_eq!(self.supervisor.stdout_line("setgid "), "0");
    }
}

#[test]
fn a_parked_thread_exits_when_an_operator_says_so() {
    let mut scene = Scene::parked(Sickbay::new());
    for action in ["throw", "skip,park", "hold"] {
        let outcome = settle(scene.tid, action);
        refused(&outcome, 1, "is parked as before: ");
        refused(
            &outcome,
            1,
            "not for a parked thread, which can only exit or be given its signal (deliver)",
        );
    }
    assert_eq!(scene.isolated()["state"], "parked");
    let settled = settle(scene.tid, "unwind,exit");
    assert_eq!(settled.code(), 0, "{settled:#?}");
    assert!(settled.stderr.contains("is settled by exit"), "{settled:#?}");
    scene.await_its_end();
    let isolated = scene.isolated();
    assert_eq!(
        (&isolated["state"], &isolated["action"]),
        (&"ended".into(), &"exit".into())
    );
    scene.assert_goes_on();
    // It was joinable all the time.
    scene.supervisor.write("join 2\n");
    assert_eq!(scene.supervisor.stdout_line("joined "), "2");
    let said = format!(
        "thread {} (worker-2), which was parked, ends by exit: ",
        scene.tid
    );
    let said = scene.supervisor.stderr_line(&format!("sickbay: {said}"));
    assert!(
        said.contains(") asks for unwind, exit: unwind is not for a parked thread"),
        "{said}"
    );
    refused(&settle(scene.tid, "exit"), 4, "there is no thread");
}

#[test]
fn a_parked_thread_that_is_given_its_signal_dies_of_the_original_fault() {
    let mut scene = Scene::parked(Sickbay::new());
    let first = scene.sickbay.only_report();
    let settled = settle(scene.tid, "deliver");
    assert_eq!(settled.code(), 0, "{settled:#?}");
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    scene.assert_reported("deliver");
    let reports = scene.sickbay.reports();
    assert_eq!(reports.len(), 2, "one of the fault, one of the death");
    let second = reports
        .iter()
        .find(|report| report.text("action.taken") == "deliver")
        .unwrap();
    assert_eq!(second.at("signal"), first.at("signal"));
    let registers = |report: &Report| faulting(report)["registers"].clone();
    assert_eq!(registers(second), registers(&first), "every one, of both sets");
    let frames = |report: &Report| faulting(report)["frames"].clone();
    assert_eq!(frames(second), frames(&first));
    let whole = |thread: &&Value| thread["registers"].as_object().is_some_and(|set| set.len() > 16);
    assert_eq!(second.list("threads").iter().filter(whole).count(), WORKERS + 1);
}

/// What a report has of the thread that faulted.
#[track_caller]
fn faulting(report: &Report) -> Value {
    report.list("threads")[0].clone()
}

#[test]
fn a_parked_main_thread_never_exits() {
    let mut scene = Scene::of(Sickbay::new(), &["isolated", "nothing"], "main-fault\n");
    assert_eq!(scene.tid, scene.pid);
    assert_eq!(settle(scene.tid, "park").code(), 0);
    scene.await_state('S');
    refused(
        &settle(scene.tid, "exit"),
        1,
        "exit is not for the main thread: without it /proc tells nothing of the process",
    );
    assert_eq!(settle(scene.tid, "deliver").code(), 0);
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
}

#[test]
fn a_thread_of_a_stopped_process_stays_parked() {
    use nix::sys::signal::{Signal, kill};
    let mut program = spawn(Command::new(fixture("isolated")).arg("nothing"));
    let pid: i32 = program.stdout_line("ready ").parse().unwrap();
    // Under `run`, that would stop with its program.
    let sickbay = Sickbay::new().configured(&HOLD.replace("\"hold\"", "\"park\"").replace("60s", "1ms"));
    let _supervisor = sickbay.attach(pid);
    proc::await_all_traced(pid);
    program.write("fault 2\n");
    let tid = await_that("a parked thread", || {
        let outcome = ask(&["threads", "--json", "--pid", &pid.to_string()]);
        let threads: Vec<Value> = serde_json::from_str(&outcome.stdout).ok()?;
        let parked = |thread: &&Value| thread["isolated"]["state"] == "parked";
        threads.iter().find(parked)?["tid"].as_i64()
    }) as i32;
    let await_state = |state: char| {
        await_that("the thread's state", || {
            let is_it = |task: &proc::Task| task.tid == tid && task.state == state;
            proc::tasks(pid).iter().any(is_it).then_some(())
        });
    };
    await_state('S');
    let process = nix::unistd::Pid::from_raw(pid);
    kill(process, Signal::SIGSTOP).unwrap();
    await_state('t');
    refused(&settle(tid, "exit"), 1, "its process is stopped by SIGSTOP");
    kill(process, Signal::SIGCONT).unwrap();
    await_state('S');
    program.write("setgid\n");
    assert_eq!(program.stdout_line("setgid "), "0");
    assert_eq!(settle(tid, "exit").code(), 0);
    program.write("join 2\n");
    assert_eq!(program.stdout_line("joined "), "2");
}

/// Its sleep tells it, but nobody knows its signal any more.
#[test]
fn a_thread_that_an_earlier_tracer_has_parked_can_exit() {
    let mut scene = Scene::parked(Sickbay::new());
    let tracer = proc::await_all_traced(scene.pid);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(tracer),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    await_that("another tracer", || {
        let tasks = proc::tasks(scene.pid);
        let taken = |task: &proc::Task| task.tracer != 0 && task.tracer != tracer;
        tasks.iter().all(taken).then_some(())
    });
    refused(
        &settle(scene.tid, "deliver"),
        1,
        "its signal is not known here: it was parked by an earlier tracer, or many others since",
    );
    refused(&settle(scene.other(), "exit"), 4, "is neither held nor parked");
    scene.await_state('S');
    assert_eq!(settle(scene.tid, "exit").code(), 0);
    scene.await_its_end();
    scene.assert_goes_on();
}

/// Those who wait for a condition count as users of its mutex.
#[test]
fn a_mutex_that_others_use_is_seen_by_an_operators_decision() {
    let scene = Scene::of(Sickbay::new(), &["isolated", "mutex"], "gather 2\nfault 2\n");
    for action in ["exit", "park", "drain"] {
        refused(&settle(scene.tid, action), 1, "it holds the mutex at 0x");
    }
    assert_eq!(scene.isolated()["state"], "held");
}

/// What cannot be done leaves the thread as it was.
#[test]
fn each_refusal_says_why() {
    let mut scene = Scene::workers();
    refused(&settle(i32::MAX, "exit"), 4, "there is no thread");
    refused(&settle(scene.other(), "exit"), 4, "is neither held nor parked");
    let own = std::process::id().cast_signed();
    refused(&settle(own, "exit"), 4, "is not supervised");
    refused(&settle(scene.tid, "dance"), 2, "unknown action 'dance'");
    for (action, why) in [
        ("throw", "throw is not possible: "),
        ("suppress", "suppress is for signals that another process sent"),
        ("rescue,unwind", "rescue is not possible: "),
    ] {
        let outcome = settle(scene.tid, action);
        refused(&outcome, 1, why);
        refused(&outcome, 1, "is held as before");
    }
    let isolated = scene.isolated();
    assert_eq!(
        (&isolated["state"], &isolated["action"]),
        (&"held".into(), &"hold".into())
    );

    if found_in_path("strace").is_some() {
        is_of_another_tracer();
    }
    assert_eq!(settle(scene.tid, "deliver").code(), 0);
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
}

#[track_caller]
fn is_of_another_tracer() {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null"]).arg(fixture("isolated"));
    let mut strace = spawn(command.arg("nothing"));
    let pid: i32 = strace.stdout_line("ready ").parse().unwrap();
    refused(&settle(pid, "exit"), 4, "is traced by strace");
    strace.signal(nix::sys::signal::Signal::SIGKILL);
    strace.ended();
}

#[test]
fn another_user_settles_nothing() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let mut scene = Scene::workers();
    let tid = scene.tid.to_string();
    for words in [
        &["settle", &tid, "--action", "deliver"][..],
        &["threads", "--pid", &scene.pid.to_string()],
    ] {
        let outcome = run(unprivileged(Sickbay::program()).args(words));
        refused(&outcome, 5, "only root and the user that supervises");
    }
    assert_eq!(scene.isolated()["state"], "held");
    assert_eq!(settle(scene.tid, "deliver").code(), 0);
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
}

/// Whoever supervises works all the same, and is named.
#[test]
fn one_that_cannot_be_asked_is_named() {
    let mut scene = Scene::workers();
    let front = scene.supervisor.pid();
    let socket = match is_root() {
        true => "/run/sickbay".into(),
        false => std::path::PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()).join("sickbay"),
    };
    let socket = socket.join(format!("watch/{front}.sock"));
    std::fs::remove_file(&socket).unwrap();
    let outcome = settle(scene.tid, "deliver");
    let named = format!(
        "process {front} supervises it and cannot be asked: it does not listen at {}",
        socket.display()
    );
    refused(&outcome, 1, &named);
    scene.supervisor.write("counts 1\n");
    scene.supervisor.stdout_line("counts 1: ");
}

/// Root in a container that was given the socket is root of nothing outside.
#[test]
fn root_in_a_container_settles_nothing() {
    if !is_root() {
        return skip("only root can make a pid namespace");
    }
    let mut scene = Scene::workers();
    let socket = format!("/run/sickbay/watch/{}.sock", scene.supervisor.pid());
    let request = format!(
        "{{\"verb\":\"settle\",\"tid\":{},\"actions\":[\"deliver\"]}}\n",
        scene.tid
    );
    let script = "import socket, sys\n\
        client = socket.socket(socket.AF_UNIX)\n\
        client.connect(sys.argv[1])\n\
        client.sendall(sys.argv[2].encode())\n\
        print(client.makefile().readline())";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "python3", "-c", script, &socket, &request]);
    let outcome = run(&mut command);
    assert!(outcome.stdout.contains("\"not_permitted\""), "{outcome:#?}");
    assert_eq!(scene.isolated()["state"], "held");
    assert_eq!(settle(scene.tid, "deliver").code(), 0);
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    assert!(
        !std::path::Path::new(&socket).exists(),
        "it is removed at the end"
    );
}

#[test]
fn the_daemon_lists_and_settles_what_it_holds() {
    let mut program = spawn(Command::new(fixture("isolated")).arg("nothing"));
    let pid: i32 = program.stdout_line("ready ").parse().unwrap();
    let sickbay = Sickbay::new();
    let config = sickbay.scratch().join("daemon.toml");
    let service = HOLD.replace("on_fault", &format!("pid = {pid}\non_fault"));
    std::fs::write(&config, service).unwrap();
    let socket = sickbay.scratch().join("control.sock");
    let named = ["--socket", socket.to_str().unwrap()];
    let mut command = sickbay.verb("daemon");
    let _daemon = spawn(command.arg("--config").arg(&config).args(named));
    proc::await_all_traced(pid);
    program.write("fault 1\n");
    let tid = await_that("a held thread", || {
        let outcome = ask(&[&["threads", "--json", "api"][..], &named].concat());
        let threads: Vec<Value> = serde_json::from_str(&outcome.stdout).ok()?;
        let held = threads
            .into_iter()
            .find(|thread| thread["isolated"]["state"] == "held")?;
        Some(held["tid"].as_i64()? as i32)
    });
    let process = pid.to_string();
    let by_pid = [&["--pid", &process][..], &named].concat();
    assert_eq!(listed(&by_pid, tid).unwrap()["isolated"]["name"], "worker-1");
    let tid = tid.to_string();
    let settle = |action: &str| ask(&[&["settle", &tid, "--action", action][..], &named].concat());
    if is_root() {
        for (path, mode) in [(sickbay.scratch(), 0o755), (&socket, 0o666)] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let mut command = unprivileged(Sickbay::program());
        let outcome = run(command.args(["settle", &tid, "--action", "exit"]).args(named));
        refused(&outcome, 5, "only root may change");
    }
    refused(&settle("throw"), 1, "is held as before");
    let settled = settle("deliver");
    assert_eq!(settled.code(), 0, "{settled:#?}");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    refused(&settle("deliver"), 4, "no thread");
}

/// The thread sleeps on, or it takes its signal, or it has ended; and runs nowhere else.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_over_a_parked_thread_leaves_it_so_or_with_its_signal() {
    for (point, action, sleeps) in [
        ("tracer.parked.stopped", "exit", true),
        ("tracer.parked.prepared", "exit", false),
        ("tracer.parked.stopped", "deliver", true),
        ("isolate.park.signalled", "deliver", true),
        ("isolate.call.unblocked", "deliver", false),
        ("isolate.call.returning", "deliver", false),
        ("tracer.parked.woken", "deliver", false),
    ] {
        let sickbay = Sickbay::new();
        let mark = sickbay.scratch().join("mark");
        let sickbay = sickbay
            .variable("SICKBAY_FAIL", point)
            .variable("SICKBAY_FAIL_MARK", &mark);
        let mut scene = Scene::parked(sickbay);
        assert!(!mark.exists(), "{point}");
        assert_ne!(settle(scene.tid, action).code(), 0, "{action}, at {point}");
        assert!(mark.exists(), "{action}, at {point}");
        if action == "deliver" && !sleeps {
            let ended = scene.supervisor.ended();
            assert_eq!(ended, Ended::Exited(128 + libc::SIGSEGV), "at {point}");
            continue;
        }
        if sleeps {
            scene.await_state('S');
        } else {
            scene.await_its_end();
        }
        scene.assert_goes_on();
        if sleeps {
            // As by the tracer that has taken its place.
            await_that("it is settled by another", || {
                (settle(scene.tid, "exit").code() == 0).then_some(())
            });
            scene.await_its_end();
        }
    }
}

/// The thread takes its signal when its tracer dies in front of an order.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_over_an_order_leaves_the_thread_with_its_signal() {
    let sickbay = Sickbay::new();
    let mark = sickbay.scratch().join("mark");
    let sickbay = sickbay
        .variable("SICKBAY_FAIL", "tracer.settle.asked")
        .variable("SICKBAY_FAIL_MARK", &mark);
    let mut scene = Scene::of(sickbay, &["isolated", "nothing"], "fault 2\n");
    assert_ne!(settle(scene.tid, "park").code(), 0);
    assert!(mark.exists());
    assert_eq!(scene.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
}
