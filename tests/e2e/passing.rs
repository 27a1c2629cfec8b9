//! Signals to the supervisor: each reaches the program, once, in the name of its sender; stops are followed.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::{Running, Sickbay, await_that, fixture, proc, spawn};

/// A program that says what it takes, with its supervisor at the head of a process group of their own.
struct Job {
    sickbay: Sickbay,
    supervisor: Running,
    program: Pid,
    fences: usize,
}

fn job() -> Job {
    let sickbay = Sickbay::new();
    let mut command = sickbay.run_command(fixture("obey"), &[] as &[&str]);
    let mut supervisor = spawn(command.process_group(0));
    let program = supervisor.stdout_line("ready").parse().unwrap();
    Job {
        sickbay,
        supervisor,
        program: Pid::from_raw(program),
        fences: 0,
    }
}

impl Job {
    fn front(&self) -> Pid {
        Pid::from_raw(self.supervisor.pid())
    }

    /// How often the program has taken that signal, once everything that was sent before has been passed on.
    #[track_caller]
    fn times(&mut self, signal: &str) -> usize {
        // A signal of the kind that waits longest.
        self.supervisor.signal(Signal::SIGWINCH);
        self.fences += 1;
        let taken = |signal: &str| {
            let lines = self.supervisor.stdout_so_far();
            let start = format!("took {signal} ");
            lines.lines().filter(|line| line.starts_with(&start)).count()
        };
        await_that("the last signal", || {
            (taken("SIGWINCH") == self.fences).then_some(())
        });
        taken(signal)
    }

    /// Waits until the supervisor's parent, this process, is told of a change.
    #[track_caller]
    fn await_told(&self, expected: WaitStatus) {
        let options = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
        await_that(
            &format!("{expected:?}; {:?}", proc::tasks(self.supervisor.pid())),
            || match waitpid(self.front(), Some(options)).unwrap() {
                WaitStatus::StillAlive => None,
                told => {
                    assert_eq!(told, expected);
                    Some(())
                }
            },
        );
    }

    #[track_caller]
    fn await_program_stopped(&self) {
        await_that("the program to be stopped", || {
            let tasks = proc::tasks(self.program.as_raw());
            tasks
                .iter()
                .all(|task| matches!(task.state, 'T' | 't'))
                .then_some(())
        });
    }
}

#[test]
fn every_signal_reaches_the_program_in_the_name_of_its_sender() {
    use Signal::{SIGALRM, SIGCONT, SIGHUP, SIGPROF, SIGPWR, SIGSTKFLT, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM};
    let mut job = job();
    for signal in [
        SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGCONT, SIGURG, SIGPWR, SIGSTKFLT,
    ] {
        job.supervisor.signal(signal);
        let told = job.supervisor.stdout_line(&format!("took {signal} "));
        assert_eq!(
            told,
            format!("code -1 pid {} value 0", std::process::id()),
            "{signal}"
        );
        assert_eq!(job.times(signal.as_str()), 1, "{signal}");
    }
    assert!(job.sickbay.reports().is_empty());
}

/// More than any handler could store, with their payloads, while the program takes its time.
#[test]
fn a_queue_of_realtime_signals_keeps_its_order() {
    const COUNT: &str = "5000";
    let sickbay = Sickbay::new();
    let mut counter = sickbay.start(fixture("counter"), &[COUNT]);
    counter.stdout_line("ready");
    let front = counter.pid().to_string();
    let sender = spawn(Command::new(fixture("counter")).args(["send", &front, COUNT]));
    assert_eq!(sender.finish().code(), 0);
    let outcome = counter.finish();
    assert_eq!(
        (outcome.code(), outcome.stdout.lines().last()),
        (0, Some("received 5000, in order")),
        "{outcome:#?}"
    );
}

/// A shell signals its whole job, a service manager every process of a unit.
#[test]
fn what_the_whole_group_is_sent_comes_once() {
    let mut job = job();
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        killpg(job.front(), signal).unwrap();
        job.supervisor.stdout_line(&format!("took {signal} code 0 "));
        assert_eq!(job.times(signal.as_str()), 1, "{signal}");
    }
    for process in [job.front(), job.program] {
        kill(process, Signal::SIGHUP).unwrap();
    }
    assert_eq!(job.times("SIGHUP"), 2);
    kill(job.front(), Signal::SIGHUP).unwrap();
    assert_eq!(job.times("SIGHUP"), 3);
}

#[test]
fn a_stop_is_followed_and_so_is_its_end() {
    let job = job();
    for signal in [Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        kill(job.program, signal).unwrap();
        job.await_told(WaitStatus::Stopped(job.front(), signal));
        kill(job.program, Signal::SIGCONT).unwrap();
        job.await_told(WaitStatus::Continued(job.front()));
    }
}

#[test]
fn whoever_continues_the_supervisor_continues_the_program() {
    let mut job = job();
    for round in 1..=3 {
        kill(job.program, Signal::SIGSTOP).unwrap();
        job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGSTOP));
        kill(job.front(), Signal::SIGCONT).unwrap();
        job.await_told(WaitStatus::Continued(job.front()));
        proc::assert_goes_on(job.program.as_raw());
        assert_eq!(job.times("SIGCONT"), round);
    }
}

#[test]
fn a_continued_group_is_not_continued_twice() {
    let mut job = job();
    for round in 1..=3 {
        kill(job.program, Signal::SIGSTOP).unwrap();
        job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGSTOP));
        killpg(job.front(), Signal::SIGCONT).unwrap();
        job.await_told(WaitStatus::Continued(job.front()));
        assert_eq!(job.times("SIGCONT"), round);
    }
}

/// Nobody but its parent tells of that then.
#[test]
fn a_continued_group_is_not_continued_twice_where_the_tracer_died() {
    let mut job = job();
    let tracer = proc::await_all_traced(job.program.as_raw());
    kill(job.program, Signal::SIGSTOP).unwrap();
    job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGSTOP));
    kill(Pid::from_raw(tracer), Signal::SIGKILL).unwrap();
    await_that("the tracer to be gone", || {
        let tasks = proc::tasks(job.program.as_raw());
        tasks.iter().all(|task| task.tracer == 0).then_some(())
    });
    killpg(job.front(), Signal::SIGCONT).unwrap();
    job.await_told(WaitStatus::Continued(job.front()));
    assert_eq!(job.times("SIGCONT"), 1);
}

/// What ended one stop is not taken for what is to end the next.
#[test]
fn a_program_that_stops_again_is_continued_again() {
    let mut job = job();
    for round in 1..=2 {
        kill(job.program, Signal::SIGSTOP).unwrap();
        job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGSTOP));
        kill(job.program, Signal::SIGCONT).unwrap();
        job.await_told(WaitStatus::Continued(job.front()));
        // A stop takes back a continuation that was not taken yet (kernel/signal.c, prepare_signal).
        assert_eq!(job.times("SIGCONT"), 2 * round - 1);
        kill(job.program, Signal::SIGSTOP).unwrap();
        job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGSTOP));
        kill(job.front(), Signal::SIGCONT).unwrap();
        job.await_told(WaitStatus::Continued(job.front()));
        assert_eq!(job.times("SIGCONT"), 2 * round);
    }
}

/// Sent to the supervisor, as to the program.
#[test]
fn a_request_to_stop_is_passed_on_and_then_followed() {
    let job = job();
    kill(job.front(), Signal::SIGTSTP).unwrap();
    job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGTSTP));
    job.await_program_stopped();
    kill(job.front(), Signal::SIGCONT).unwrap();
    job.await_told(WaitStatus::Continued(job.front()));
    proc::assert_goes_on(job.program.as_raw());
}

#[test]
fn a_program_that_is_killed_while_stopped_ends_its_supervisor() {
    let job = job();
    kill(job.program, Signal::SIGSTOP).unwrap();
    job.await_told(WaitStatus::Stopped(job.front(), Signal::SIGSTOP));
    kill(job.program, Signal::SIGKILL).unwrap();
    assert_eq!(job.supervisor.finish().code(), 128 + libc::SIGKILL);
}

/// What ends no process by default does not end an attachment.
#[test]
fn an_attachment_is_ended_by_what_ends_a_process() {
    let mut program = spawn(&mut Command::new(fixture("obey")));
    program.stdout_line("ready");
    let sickbay = Sickbay::new();
    let (supervisor, _) = sickbay.attach(program.pid());
    for signal in [Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGURG] {
        supervisor.signal(signal);
    }
    program.signal(Signal::SIGUSR1);
    program.stdout_line("took SIGUSR1");
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(program.pid());
    assert_eq!(
        program.finish().stdout.lines().count(),
        2,
        "nothing is passed on to it"
    );
}
