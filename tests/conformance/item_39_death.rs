//! Whatever ends or holds up the supervisor, the service goes on, and takes every signal that it was sent, once.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::compare::random_pause;
use crate::support::{Ended, Running, Sickbay, await_that, fixture, found_in_path, proc, run, skip, spawn};

const EACH: usize = 3000;
/// A front starts that many tracers anew before it gives up.
const TRACERS: usize = 4;
/// How long a tracer may live before it is killed.
const LIFE: Duration = Duration::from_millis(40);

/// A program that counts signals, under supervision, and what happens to the supervisor meanwhile.
struct Counted {
    counter: Running,
    pid: i32,
    _sickbay: Sickbay,
    supervisor: Running,
    sent: usize,
}

impl Counted {
    fn new(rounds: usize) -> Self {
        let mut counter = spawn(Command::new(fixture("counter")).arg((rounds * EACH).to_string()));
        let pid = counter.stdout_line("ready").parse().unwrap();
        let sickbay = Sickbay::new();
        let (supervisor, _) = sickbay.attach(pid);
        Self {
            counter,
            pid,
            _sickbay: sickbay,
            supervisor,
            sent: 0,
        }
    }

    /// The next signals, sent while the caller does something.
    fn sends(&mut self) -> Running {
        let (count, first) = (EACH.to_string(), self.sent.to_string());
        self.sent += EACH;
        spawn(Command::new(fixture("counter")).args(["send", &self.pid.to_string(), &count, &first]))
    }

    fn tracer(&self) -> Pid {
        Pid::from_raw(proc::await_all_traced(self.pid))
    }

    #[track_caller]
    fn took_all(self) {
        let outcome = self.counter.finish();
        let expected = format!("received {}, in order", self.sent);
        assert_eq!(
            outcome.stdout.lines().last(),
            Some(expected.as_str()),
            "{outcome:#?}"
        );
    }
}

#[test]
fn tracers_killed_at_random() {
    let mut counted = Counted::new(TRACERS);
    let mut last = Pid::from_raw(0);
    for _ in 0..TRACERS {
        let tracer = await_that("another tracer", || {
            Some(counted.tracer()).filter(|tracer| *tracer != last)
        });
        last = tracer;
        let sender = counted.sends();
        random_pause(LIFE);
        kill(tracer, Signal::SIGKILL).unwrap();
        assert_eq!(sender.finish().code(), 0);
    }
    counted.took_all();
}

#[test]
fn a_front_killed_at_random() {
    let mut counted = Counted::new(1);
    let sender = counted.sends();
    random_pause(LIFE);
    counted.supervisor.signal(Signal::SIGKILL);
    assert_eq!(sender.finish().code(), 0);
    counted.took_all();
}

#[test]
fn a_tracer_stopped_for_a_second() {
    let mut counted = Counted::new(1);
    let tracer = counted.tracer();
    let sender = counted.sends();
    random_pause(LIFE);
    kill(tracer, Signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    kill(tracer, Signal::SIGCONT).unwrap();
    assert_eq!(sender.finish().code(), 0);
    counted.took_all();
}

#[test]
fn a_tracer_stopped_and_killed() {
    let mut counted = Counted::new(1);
    let tracer = counted.tracer();
    let sender = counted.sends();
    kill(tracer, Signal::SIGSTOP).unwrap();
    random_pause(LIFE);
    kill(tracer, Signal::SIGKILL).unwrap();
    assert_eq!(sender.finish().code(), 0);
    counted.took_all();
}

#[test]
fn a_front_stopped_for_a_second() {
    let mut counted = Counted::new(1);
    let sender = counted.sends();
    counted.supervisor.signal(Signal::SIGSTOP);
    assert_eq!(sender.finish().code(), 0);
    std::thread::sleep(Duration::from_millis(200));
    counted.supervisor.signal(Signal::SIGCONT);
    counted.took_all();
}

/// A program that faults when it is told to, held by a supervisor that lacks something.
fn faults_without(limit: &str, of_tracer: bool) {
    if found_in_path("prlimit").is_none() {
        return skip("prlimit is not installed");
    }
    let mut program = spawn(Command::new(fixture("workers")).args(["8", "3", "stdin"]));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, _) = sickbay.attach(program.pid());
    let tracer = proc::await_all_traced(program.pid());
    let poor = if of_tracer { tracer } else { supervisor.pid() };
    let limited = run(Command::new("prlimit").args(["--pid", &poor.to_string(), limit]));
    assert_eq!(limited.code(), 0, "{limited:#?}");
    program.write("go\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
}

#[test]
fn a_tracer_out_of_descriptors() {
    faults_without("--nofile=4:4", true);
}

#[test]
fn a_front_out_of_descriptors() {
    faults_without("--nofile=4:4", false);
}

#[test]
fn a_tracer_out_of_memory() {
    faults_without("--as=1000000:1000000", true);
}

#[test]
fn a_front_out_of_memory() {
    faults_without("--as=1000000:1000000", false);
}
