//! SIGKILL of each of the three processes at every named point: the program goes on or dies of its own signal.
//!
//! The process that reaches the point creates the mark file and, being the first, ends itself by SIGKILL.
//! Whatever happens then, the program's own fault must end it, or its parent would wait for ever.

mod copies;
mod signals;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::{Ended, Running, Sickbay, await_that, fixture, proc, run, spawn};

const WORKERS: &str = "8";
const VICTIM: &str = "3";

/// Points that are reached before the program does anything.
const WHILE_ATTACHING: [&str; 3] = ["tracer.start", "tracer.attach.pass", "tracer.attach.done"];

/// The supervisor with one fail point armed.
struct Armed {
    sickbay: Sickbay,
    point: &'static str,
    mark: PathBuf,
}

impl Armed {
    /// Whoever reaches the point is killed there.
    fn at(point: &'static str) -> Self {
        Self::with(point, "SIGKILL")
    }

    /// Whoever reaches the point is stopped there.
    fn holding_at(point: &'static str) -> Self {
        Self::with(point, "SIGSTOP")
    }

    fn with(point: &'static str, signal: &str) -> Self {
        Self::on(Sickbay::new(), point, signal)
    }

    fn on(sickbay: Sickbay, point: &'static str, signal: &str) -> Self {
        let sickbay = sickbay.variable("SICKBAY_FAIL_SIGNAL", signal);
        // A recorder makes it as another user, so it cannot lie in a directory of ours.
        let mark = std::env::temp_dir().join(format!("sickbay-mark-{}-{point}", std::process::id()));
        Self {
            sickbay: sickbay
                .variable("SICKBAY_FAIL", point)
                .variable("SICKBAY_FAIL_MARK", &mark),
            point,
            mark,
        }
    }

    fn was_reached(&self) -> bool {
        self.mark.exists()
    }

    /// Waits until a process is stopped there, and returns it.
    #[track_caller]
    fn await_held(&self) -> Pid {
        await_that(&format!("somebody held at {}", self.point), || {
            let pid = std::fs::read_to_string(&self.mark).ok()?.parse().ok()?;
            let stopped = proc::tasks(pid).iter().any(|task| task.state == 'T');
            stopped.then(|| Pid::from_raw(pid))
        })
    }

    #[track_caller]
    fn await_reached(&self) {
        await_that(&format!("somebody at {}", self.point), || {
            self.was_reached().then_some(())
        });
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.mark);
    }
}

/// The program runs already, its parent is the test, and the supervisor attaches to it.
fn attached(point: &'static str) {
    let armed = Armed::at(point);
    let mut program = spawn(Command::new(fixture("workers")).args([WORKERS, VICTIM, "stdin"]));
    program.stdout_line("ready");
    let mut supervisor = spawn(&mut armed.sickbay.attach_command(program.pid()));

    if WHILE_ATTACHING.contains(&point) {
        armed.await_reached();
        proc::assert_goes_on(program.pid());
    }
    // Where the first tracer died at it, by another one.
    supervisor.stderr_line("sickbay: attached: ");
    if point == "tracer.release" {
        supervisor.signal(Signal::SIGINT);
        armed.await_reached();
        supervisor.ended();
        proc::assert_let_go(program.pid());
    }
    proc::assert_goes_on(program.pid());
    dies_of_its_own_fault(&mut program);
    armed.await_reached();
    if !point.starts_with("front.") && point != "tracer.release" {
        assert_eq!(supervisor.finish().code(), 0);
        assert_eq!(armed.sickbay.only_report().text("signal.name"), "SIGSEGV");
    }
}

/// The supervisor starts the program, and so is its parent: if it dies, the test becomes that.
fn started(point: &'static str) {
    let armed = Armed::at(point);
    let mut supervisor = armed
        .sickbay
        .start(fixture("workers"), &[WORKERS, VICTIM, "stdin"]);
    let ready = supervisor.stdout_line("ready pid=");
    let program: i32 = ready.split(' ').next().unwrap().parse().unwrap();
    proc::assert_goes_on(program);
    supervisor.write("go\n");

    match supervisor.ended() {
        Ended::Killed(signal, _) => {
            assert_eq!(signal, libc::SIGKILL, "the supervisor died of something else");
            if !point.starts_with("front.incident.") {
                assert_eq!(ended_orphan(program), Ended::Killed(libc::SIGSEGV, false));
            }
            // At those points the fault has been delivered; the front may have reaped the program before it died.
            assert_gone(program);
        }
        ended => {
            assert_eq!(ended, Ended::Exited(139));
            assert_eq!(armed.sickbay.only_report().text("signal.name"), "SIGSEGV");
        }
    }
    armed.await_reached();
}

/// The front is kept from running until tracer and program are both gone, so that it learns of both at once.
#[track_caller]
fn die_together(armed: &Armed, front: &Running, program: i32) {
    let tracer = armed.await_held();
    front.signal(Signal::SIGSTOP);
    kill(tracer, Signal::SIGKILL).unwrap();
    await_that("the program to end", || (!proc::is_alive(program)).then_some(()));
    front.signal(Signal::SIGCONT);
}

#[test]
fn a_tracer_that_dies_with_the_program_it_was_started_for() {
    for point in [
        "tracer.fault.stopped",
        "tracer.fault.captured",
        "tracer.fault.delivered",
    ] {
        let armed = Armed::holding_at(point);
        let mut supervisor = armed.sickbay.start(fixture("die"), &["wait"]);
        let program: i32 = supervisor.stdout_line("ready").parse().unwrap();
        kill(Pid::from_raw(program), Signal::SIGSEGV).unwrap();
        die_together(&armed, &supervisor, program);
        assert_eq!(supervisor.finish().code(), 139);
        assert_eq!(
            armed.sickbay.only_report().text("signal.name"),
            "SIGSEGV",
            "{point}"
        );
    }
}

#[test]
fn a_tracer_that_dies_with_the_program_it_was_attached_to() {
    for point in [
        "tracer.stop.seen",
        "tracer.fault.stopped",
        "tracer.fault.delivered",
    ] {
        let armed = Armed::holding_at(point);
        let mut program = spawn(Command::new(fixture("die")).arg("wait"));
        program.stdout_line("ready");
        let (supervisor, _) = armed.sickbay.attach(program.pid());
        program.signal(Signal::SIGSEGV);
        die_together(&armed, &supervisor, program.pid());
        assert_eq!(supervisor.finish().code(), 0);
        assert_eq!(
            armed.sickbay.only_report().text("signal.name"),
            "SIGSEGV",
            "{point}"
        );
        assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    }
}

/// Nothing tells of it but its silence.
#[test]
fn a_tracer_that_is_stopped_is_replaced() {
    let sickbay = Sickbay::new().variable("SICKBAY_FAIL_PATIENCE", "2000");
    let mut supervisor = sickbay.start(fixture("workers"), &[WORKERS, VICTIM, "stdin"]);
    let ready = supervisor.stdout_line("ready pid=");
    let program: i32 = ready.split(' ').next().unwrap().parse().unwrap();
    let tracer = Pid::from_raw(proc::await_all_traced(program));
    kill(tracer, Signal::SIGSTOP).unwrap();
    supervisor.stderr_line("sickbay: the tracer did not answer and was ended");
    supervisor.stderr_line("sickbay: the tracer died; the service runs on");
    await_that("another tracer", || {
        let tasks = proc::tasks(program);
        tasks
            .iter()
            .all(|task| ![0, tracer.as_raw()].contains(&task.tracer))
            .then_some(())
    });
    supervisor.write("go\n");
    assert_eq!(supervisor.finish().code(), 139);
    assert_eq!(sickbay.only_report().text("signal.name"), "SIGSEGV");
}

/// A fault that the tracer does not answer takes effect once it is gone.
#[test]
fn a_tracer_that_is_stopped_holds_no_fault() {
    let sickbay = Sickbay::new().variable("SICKBAY_FAIL_PATIENCE", "2000");
    let mut program = spawn(Command::new(fixture("workers")).args([WORKERS, VICTIM, "stdin"]));
    program.stdout_line("ready");
    let (supervisor, _) = sickbay.attach(program.pid());
    let tracer = Pid::from_raw(proc::await_all_traced(program.pid()));
    kill(tracer, Signal::SIGSTOP).unwrap();
    dies_of_its_own_fault(&mut program);
    let outcome = supervisor.finish();
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert!(
        outcome.stderr.contains("the tracer did not answer"),
        "{outcome:#?}"
    );
}

/// What a tracer has judged to be an ordinary end does not look like one that nobody saw.
#[test]
fn an_ordinary_end_leaves_no_record_although_a_tracer_died_before() {
    let sickbay = Sickbay::new();
    let script = "echo ready $$; read line; bash -c 'kill -TERM $PPID' & wait";
    let mut supervisor = sickbay.start("/bin/bash", &["-c", script]);
    let program: i32 = supervisor.stdout_line("ready").parse().unwrap();
    let tracer = proc::await_all_traced(program);
    kill(Pid::from_raw(tracer), Signal::SIGKILL).unwrap();
    await_that("another tracer", || {
        proc::tasks(program)
            .iter()
            .all(|task| task.tracer != 0 && task.tracer != tracer)
            .then_some(())
    });
    supervisor.write("end\n");
    assert_eq!(supervisor.finish().code(), 128 + libc::SIGTERM);
    assert!(sickbay.reports().is_empty(), "{:?}", sickbay.reports());
}

#[track_caller]
fn dies_of_its_own_fault(program: &mut Running) {
    program.write("go\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
}

/// Waits for the end of a process that this one adopted because its parent died.
#[track_caller]
fn ended_orphan(pid: i32) -> Ended {
    await_that(
        &format!("the end of the orphan {pid}: {:?}", proc::tasks(pid)),
        || {
            match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(Ended::Exited(code)),
                Ok(WaitStatus::Signaled(_, signal, core)) => Some(Ended::Killed(signal as i32, core)),
                // Not ours yet: its parent is still dying.
                _ => None,
            }
        },
    )
}

/// Waits until a process is gone, reaping it where it has become ours.
#[track_caller]
fn assert_gone(pid: i32) {
    await_that(
        &format!("process {pid} to be gone: {:?}", proc::tasks(pid)),
        || {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
            proc::tasks(pid).is_empty().then_some(())
        },
    );
}

/// One test for each fail point in each of the given scenes.
macro_rules! at_each_fail_point {
    ($scene:ident: $($test:ident = $point:literal),* $(,)?) => {
        mod $scene {
            $(#[test] fn $test() { super::$scene($point); })*
        }
    };
}

at_each_fail_point! { attached:
    tracer_start = "tracer.start",
    tracer_attach_pass = "tracer.attach.pass",
    tracer_attach_done = "tracer.attach.done",
    tracer_fault_stopped = "tracer.fault.stopped",
    tracer_fault_frozen = "tracer.fault.frozen",
    tracer_fault_captured = "tracer.fault.captured",
    tracer_fault_delivered = "tracer.fault.delivered",
    tracer_fault_handed = "tracer.fault.handed",
    tracer_release = "tracer.release",
    front_incident_received = "front.incident.received",
    front_incident_small = "front.incident.small",
    front_incident_recorder = "front.incident.recorder",
    front_incident_committed = "front.incident.committed",
    recorder_start = "recorder.start",
    recorder_read = "recorder.read",
    recorder_written = "recorder.written",
}

at_each_fail_point! { started:
    tracer_start = "tracer.start",
    tracer_attach_pass = "tracer.attach.pass",
    tracer_attach_done = "tracer.attach.done",
    tracer_fault_stopped = "tracer.fault.stopped",
    tracer_fault_frozen = "tracer.fault.frozen",
    tracer_fault_captured = "tracer.fault.captured",
    tracer_fault_delivered = "tracer.fault.delivered",
    tracer_fault_handed = "tracer.fault.handed",
    front_incident_received = "front.incident.received",
    front_incident_small = "front.incident.small",
    front_incident_recorder = "front.incident.recorder",
    front_incident_committed = "front.incident.committed",
    recorder_start = "recorder.start",
    recorder_read = "recorder.read",
    recorder_written = "recorder.written",
}

/// What the only report says is missing of that step.
#[track_caller]
fn reason(sickbay: &Sickbay, step: &str) -> String {
    let report = sickbay.only_report();
    let mut steps = report.list("incomplete").iter();
    let told = steps.find(|told| told["step"] == step);
    let told = told.unwrap_or_else(|| panic!("nothing about {step}: {report:?}"));
    told["reason"].as_str().unwrap().to_owned()
}

/// Another recorder takes the place of one that dies, and leaves alone what that one may have died of.
#[test]
fn a_report_survives_its_recorder() {
    for point in ["recorder.start", "recorder.read", "recorder.written"] {
        let armed = Armed::at(point);
        let outcome = armed.sickbay.run(fixture("die"), &["null-write"]);
        assert_eq!(outcome.code(), 139, "{point}: {outcome:#?}");
        assert!(armed.was_reached(), "{point}");
        let report = armed.sickbay.only_report();
        assert_eq!(report.text("signal.name"), "SIGSEGV", "{point}");
        assert!(report.has("threads.0.frames.0.symbol"), "{point}: {report:?}");
        assert!(!report.has("threads.0.frames.0.line"), "{point}: {report:?}");
        assert_eq!(report.number("occurrences"), 1, "{point}: it is counted once");
        let reason = reason(&armed.sickbay, "debug information");
        assert!(
            reason.starts_with("the recorder died of SIGKILL; "),
            "{point}: {reason}"
        );
    }
}

/// Where all of them die the small record stands, which was written first.
#[test]
fn a_report_survives_all_its_recorders() {
    for point in ["recorder.start", "recorder.read", "recorder.written"] {
        let sickbay = Sickbay::new().variable("SICKBAY_FAIL", point);
        let outcome = sickbay.run(fixture("die"), &["null-write"]);
        assert_eq!(outcome.code(), 139, "{point}: {outcome:#?}");
        assert_eq!(sickbay.only_report().text("signal.name"), "SIGSEGV", "{point}");
        assert_eq!(reason(&sickbay, "report"), "the recorder died of SIGKILL");
    }
}

/// Signals of the terminal are for the front and its program.
#[test]
fn a_recorder_survives_what_is_typed_meanwhile() {
    let armed = Armed::holding_at("recorder.read");
    let mut command = armed.sickbay.run_command(fixture("die"), &["null-write"]);
    let supervisor = spawn(command.process_group(0));
    let recorder = armed.await_held();
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTSTP] {
        killpg(Pid::from_raw(supervisor.pid()), signal).unwrap();
    }
    kill(recorder, Signal::SIGCONT).unwrap();
    assert_eq!(supervisor.finish().code(), 139);
    assert!(armed.sickbay.only_report().has("threads"));
}

#[test]
fn a_tracer_killed_while_idle() {
    let mut server = spawn(Command::new(fixture("server")).arg("8"));
    let port = server.stdout_line("listening on 127.0.0.1:");
    let sickbay = Sickbay::new();
    let (_supervisor, _) = sickbay.attach(server.pid());
    let tracer = proc::await_all_traced(server.pid());
    kill(Pid::from_raw(tracer), Signal::SIGKILL).unwrap();
    await_that("another tracer, or none", || {
        proc::tasks(server.pid())
            .iter()
            .all(|task| task.tracer != tracer)
            .then_some(())
    });
    proc::assert_goes_on(server.pid());
    let answer = run(Command::new(fixture("ask")).args([&port, "GET tea"]));
    assert_eq!(answer.stdout, "GET tea: value of tea\n");
}

#[test]
fn a_front_killed_while_idle() {
    let sickbay = Sickbay::new();
    let mut supervisor = sickbay.start(fixture("die"), &["wait"]);
    let program: i32 = supervisor.stdout_line("ready").parse().unwrap();
    supervisor.signal(Signal::SIGKILL);
    supervisor.ended();
    proc::assert_let_go(program);
    kill(Pid::from_raw(program), Signal::SIGTERM).unwrap();
    assert_eq!(ended_orphan(program), Ended::Killed(libc::SIGTERM, false));
}
