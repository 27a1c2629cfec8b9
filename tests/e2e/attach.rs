//! `sickbay attach`: takes up what already runs, and lets go so that nobody notices.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Running, Sickbay, await_that, fixture, proc, run, spawn};

/// A server with worker threads, its port, and the supervisor holding it.
struct Served {
    server: Running,
    port: String,
}

fn server(workers: usize) -> Served {
    let mut server = spawn(Command::new(fixture("server")).arg(workers.to_string()));
    let port = server.stdout_line("listening on 127.0.0.1:");
    Served { server, port }
}

impl Served {
    /// Asks the server one question.
    #[track_caller]
    fn ask(&self, question: &str) -> String {
        run(Command::new(fixture("ask")).arg(&self.port).arg(question)).stdout
    }
}

#[test]
fn every_thread_is_held_and_the_fault_is_reported() {
    let mut program = spawn(Command::new(fixture("workers")).args(["50", "17", "stdin"]));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, announced) = sickbay.attach(program.pid());
    assert_eq!(announced, "1 process, 51 threads");
    assert_ne!(proc::await_all_traced(program.pid()), 0);

    program.write("go\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    let outcome = supervisor.finish();
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let report = sickbay.only_report();
    assert_eq!(report.text("fault.thread_name"), "worker-17");
    assert_eq!(report.list("threads").len(), 51);
}

/// Asked twice, a front waits for its tracer no longer: its death lets go of everything.
#[test]
fn a_second_interrupt_ends_a_tracer_that_does_not_let_go() {
    let mut program = spawn(Command::new(fixture("die")).arg("wait"));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, _) = sickbay.attach(program.pid());
    let tracer = proc::await_all_traced(program.pid());
    kill(Pid::from_raw(tracer), Signal::SIGSTOP).unwrap();
    supervisor.signal(Signal::SIGTERM);
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(program.pid());
}

/// The kernel does what it would have done: core pattern, core flag, exit status.
#[test]
fn the_parent_sees_the_core_flag() {
    let scene = tempfile::tempdir().unwrap();
    let dump = |attach: bool| {
        let sickbay = Sickbay::new();
        let script = "ulimit -c unlimited; exec \"$0\" 4 2 stdin";
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .arg(fixture("workers"))
            .current_dir(scene.path());
        let mut program = spawn(&mut command);
        program.stdout_line("ready");
        let _supervisor = attach.then(|| sickbay.attach(program.pid()));
        program.write("go\n");
        program.ended()
    };
    let plain = dump(false);
    assert!(matches!(plain, Ended::Killed(libc::SIGSEGV, _)), "{plain:?}");
    assert_eq!(dump(true), plain);
}

#[test]
fn an_interrupt_lets_go_of_everything() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let served = server(20);
        let sickbay = Sickbay::new();
        let (supervisor, announced) = sickbay.attach(served.server.pid());
        assert_eq!(announced, "1 process, 21 threads");
        assert_eq!(served.ask("GET tea"), "GET tea: value of tea\n");

        let before = proc::tasks(served.server.pid());
        supervisor.signal(signal);
        let outcome = supervisor.finish();
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        proc::assert_let_go(served.server.pid());
        let names = |tasks: Vec<proc::Task>| {
            tasks
                .into_iter()
                .map(|task| (task.tid, task.name))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(proc::tasks(served.server.pid())), names(before));
        assert_eq!(served.ask("GET tea"), "GET tea: value of tea\n");
        assert!(sickbay.reports().is_empty());
    }
}

/// Signals flow the whole time: before, during and after each attach and each release.
#[test]
fn attaching_again_and_again_loses_no_signal() {
    const ROUNDS: usize = 5;
    const EACH: usize = 4000;
    let mut counter = spawn(Command::new(fixture("counter")).arg((ROUNDS * EACH).to_string()));
    let pid = counter.stdout_line("ready");
    for round in 0..ROUNDS {
        let (count, first) = (EACH.to_string(), (round * EACH).to_string());
        let sender = spawn(Command::new(fixture("counter")).args(["send", &pid, &count, &first]));
        let sickbay = Sickbay::new();
        let mut supervisor = spawn(&mut sickbay.attach_command(pid.parse().unwrap()));
        let held = await_that("attached, or every signal received", || {
            let announced = supervisor.stderr_so_far().contains("sickbay: attached: ");
            (announced || !proc::is_alive(counter.pid())).then_some(announced)
        });
        assert!(
            held || round + 1 == ROUNDS,
            "round {round}: {}",
            supervisor.stderr_so_far()
        );
        supervisor.signal(Signal::SIGINT);
        supervisor.ended();
        assert_eq!(sender.finish().code(), 0);
    }
    let outcome = counter.finish();
    let last = format!("received {}, in order", ROUNDS * EACH);
    assert_eq!(
        (outcome.code(), outcome.stdout.lines().last()),
        (0, Some(last.as_str())),
        "{outcome:#?}"
    );
}

#[test]
fn children_that_exist_already_are_taken_too() {
    let script = "\"$0\" wait & \"$0\" wait & wait";
    let mut parent = spawn(Command::new("/bin/sh").args(["-c", script]).arg(fixture("die")));
    parent.stdout_line("ready");
    let children = await_that("two children that wait", || {
        let children = proc::children(parent.pid());
        let waiting = |pid: &i32| {
            proc::tasks(*pid)
                .iter()
                .any(|task| task.name == "die" && task.state == 'S')
        };
        (children.len() == 2 && children.iter().all(waiting)).then_some(children)
    });
    let sickbay = Sickbay::new();
    let (supervisor, announced) = sickbay.attach(parent.pid());
    assert_eq!(announced, "3 processes, 3 threads");
    for child in &children {
        proc::await_all_traced(*child);
    }
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    for child in children {
        proc::assert_let_go(child);
    }
}

#[test]
fn a_leader_that_exited_hides_no_thread() {
    let mut program = spawn(Command::new(fixture("die")).args(["leader-exits-first", "wait"]));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, _) = sickbay.attach(program.pid());
    let survivor = proc::tasks(program.pid())
        .into_iter()
        .find(|task| task.name == "survivor")
        .expect("the survivor");
    assert_ne!(survivor.tracer, 0, "{survivor:?}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(program.pid()), Signal::SIGBUS).unwrap();
    assert_eq!(program.ended(), Ended::Killed(libc::SIGBUS, false));
    supervisor.finish();
    assert_eq!(sickbay.only_report().text("signal.name"), "SIGBUS");
}
