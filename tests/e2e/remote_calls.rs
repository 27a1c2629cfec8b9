//! A system call made by a stopped thread: it comes back to the same stop, and when its tracer dies on the way the
//! thread still takes its own signal.

use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use sickbay::capture::maps::Maps;
use sickbay::capture::{Prospect, freeze};
use sickbay::isolate::inject::{self, Call};
use sickbay::isolate::sites::{Finder, Sites};
use sickbay::sys::memory::Memory;
use sickbay::sys::ptrace::Options;
use sickbay::sys::wake::Wake;
use sickbay::sys::{Tid, wait};
use sickbay::trace::{Engine, Fault, Turn};

use crate::support::{Ended, Running, await_that, fixture, spawn};

/// What tells the tracer that dies whom to attach to.
#[cfg(feature = "fail-points")]
const SUBJECT: &str = "SICKBAY_TEST_SUBJECT";

/// Ways to a fatal signal: a fault of one thread among others, and a signal from outside during a system call.
#[derive(Clone, Copy)]
enum Scene {
    Fault,
    Sent,
}

impl Scene {
    fn start(self) -> Running {
        let mut program = match self {
            Self::Fault => spawn(Command::new(fixture("workers")).args(["3", "2", "stdin"])),
            Self::Sent => spawn(Command::new(fixture("die")).arg("wait")),
        };
        program.stdout_line("ready");
        program
    }

    fn bring_about(self, program: &mut Running) {
        match self {
            Self::Fault => program.write("go\n"),
            Self::Sent => kill(Pid::from_raw(program.pid()), Signal::SIGTERM).unwrap(),
        }
    }

    fn end(self) -> Ended {
        match self {
            Self::Fault => Ended::Killed(libc::SIGSEGV, false),
            Self::Sent => Ended::Killed(libc::SIGTERM, false),
        }
    }
}

/// An attached engine, and what it needs to be woken.
struct Tracer {
    engine: Engine,
    wake: Wake,
    _ends: (UnixDatagram, UnixDatagram),
}

impl Tracer {
    fn of(pid: i32) -> Self {
        let ends = UnixDatagram::pair().unwrap();
        let wake = Wake::install(ends.0.as_fd()).unwrap();
        let mut engine = Engine::new(Options::threads()).unwrap();
        engine.attach(sickbay::sys::Pid(pid)).unwrap();
        Self {
            engine,
            wake,
            _ends: ends,
        }
    }

    /// Lets go of every thread, so that the process ends without us.
    fn deliver(mut self, fault: Fault) {
        let known = self.engine.threads_of(fault.process);
        let others = freeze(fault.process, Prospect::Dies(fault.thread.tid()), known, FREEZE);
        self.engine.deliver(fault, others.threads);
    }

    fn await_fault(&mut self) -> Fault {
        loop {
            self.wake.take();
            match self.engine.turn(&self.wake) {
                Turn::Fault(fault) => return *fault,
                Turn::Woken => {}
                other => panic!("no fault, but {other:?}"),
            }
        }
    }
}

/// How long the threads of a sample program may take to stop.
const FREEZE: Duration = Duration::from_secs(5);

fn sites(pid: i32) -> Sites {
    let maps = Maps::parse(&std::fs::read(format!("/proc/{pid}/maps")).unwrap());
    Finder::default()
        .find(&Memory::of(Tid(pid)), &maps)
        .expect("code that enters the kernel")
}

fn make(call: i64, args: [u64; 6], fault: Fault) -> (Fault, i64) {
    let sites = sites(fault.process.0);
    let call = Call { number: call, args };
    let (thread, result) = inject::run(fault.thread, fault.process, &sites, call).unwrap();
    (Fault { thread, ..fault }, result)
}

/// Makes calls in a thread that stands in front of its signal, and holds that nothing of it changed.
fn comes_back_unchanged(scene: Scene) {
    let mut program = scene.start();
    let mut tracer = Tracer::of(program.pid());
    scene.bring_about(&mut program);
    let fault = tracer.await_fault();
    let state = |fault: &Fault| {
        let thread = &fault.thread;
        (thread.registers(), thread.signal_mask(), thread.siginfo())
    };
    let before = state(&fault);

    let (fault, result) = make(libc::SYS_getpid, [0; 6], fault);
    assert_eq!(result, i64::from(program.pid()));
    assert_eq!(state(&fault), before);
    let (fault, result) = make(libc::SYS_close, [9999, 0, 0, 0, 0, 0], fault);
    assert_eq!(result, -i64::from(libc::EBADF));
    assert_eq!(state(&fault), before);

    tracer.deliver(fault);
    assert_eq!(program.ended(), scene.end());
}

#[test]
fn a_faulting_thread_comes_back_unchanged() {
    comes_back_unchanged(Scene::Fault);
}

#[test]
fn a_thread_that_was_sent_a_signal_comes_back_unchanged() {
    comes_back_unchanged(Scene::Sent);
}

#[test]
fn a_thread_can_be_made_to_copy_its_process() {
    let mut program = Scene::Fault.start();
    let mut tracer = Tracer::of(program.pid());
    Scene::Fault.bring_about(&mut program);
    let fault = tracer.await_fault();
    let flags = libc::CLONE_PARENT as u64;
    let (fault, child) = make(libc::SYS_clone, [flags, 0, 0, 0, 0, 0], fault);
    let child = Tid(i32::try_from(child).unwrap());
    assert!(child.0 > 0, "clone returned {child}");
    await_that("the first stop of the copy", || wait::peek(child));
    kill(Pid::from_raw(child.0), Signal::SIGKILL).unwrap();
    await_that("the end of the copy", || wait::reap(child));
    tracer.deliver(fault);
    assert_eq!(program.ended(), Scene::Fault.end());
}

/// The tracer is another process, which ends itself at the point.
#[cfg(feature = "fail-points")]
fn dies_at(point: &str, scene: Scene) {
    let mut program = scene.start();
    let mut tracer = Command::new(std::env::current_exe().unwrap());
    tracer
        .args([
            "--exact",
            "remote_calls::a_tracer_that_dies",
            "--ignored",
            "--nocapture",
        ])
        .env(SUBJECT, program.pid().to_string())
        .env("SICKBAY_FAIL", point);
    let mut tracer = spawn(&mut tracer);
    tracer.stdout_line("attached");
    scene.bring_about(&mut program);
    assert_eq!(tracer.ended(), Ended::Killed(libc::SIGKILL, false), "at {point}");
    assert_eq!(program.ended(), scene.end(), "its tracer died at {point}");
}

#[cfg(feature = "fail-points")]
#[test]
#[ignore = "the other process of the tests about a tracer that dies"]
fn a_tracer_that_dies() {
    let subject = std::env::var(SUBJECT).unwrap().parse().unwrap();
    let mut tracer = Tracer::of(subject);
    println!("\nattached");
    let fault = tracer.await_fault();
    drop(make(libc::SYS_getpid, [0; 6], fault));
}

#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_may_die_at_every_step_of_a_call() {
    for point in ["sent", "prepared", "entered", "made", "returning"] {
        let point = format!("isolate.call.{point}");
        dies_at(&point, Scene::Fault);
        dies_at(&point, Scene::Sent);
    }
}
