//! The whole table: by what the thread that faults holds, in C and in C++, and by the action, what becomes of it and of the
//! others. Whoever lives on changes its ids, is stopped and goes on, forks, runs another program, ends by SIGTERM, and all of
//! that with and without its supervisor.
#![cfg(target_arch = "x86_64")]

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Ended, Report, Running, Sickbay, await_that, fixture, proc, spawn};

const WORKERS: usize = 4;
const VICTIM: usize = 2;
/// A sample program and what its worker may hold.
const PROGRAMS: [(&str, &[&str]); 2] = [
    ("isolated", &["nothing", "mutex", "robust", "rwlock"]),
    ("isolated_cxx", &["nothing", "mutex", "robust", "rwlock", "guard"]),
];

/// What becomes of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It lives on; whether the thread does, too.
    Lives { whole: bool },
    /// It dies of the signal, and the report says this.
    Dies(&'static str),
}

fn fate(program: &str, lock: &str, action: &str) -> Fate {
    let in_c = program == "isolated";
    let less = Fate::Lives { whole: false };
    match (action, lock) {
        ("hold", "nothing") => Fate::Dies("hold is over, and nobody settled it"),
        ("hold", _) => Fate::Dies("waits for the"),
        ("park" | "exit", "nothing") | ("exit", "robust") => less,
        ("park" | "exit", _) => Fate::Dies("too dangerous: it holds the"),
        ("unwind", _) if in_c => Fate::Dies("libgcc_s, which unwinds, is not loaded"),
        ("throw", _) if in_c => Fate::Dies("no frame belongs to a language"),
        ("unwind", "nothing" | "guard" | "robust") => less,
        ("throw", "nothing" | "guard") => Fate::Lives { whole: true },
        _ => Fate::Dies("no destructor on the way would release it"),
    }
}

/// The sample program, run by us or under supervision.
struct Subject {
    running: Running,
    pid: i32,
    asked: usize,
}

impl Subject {
    fn of(mut running: Running) -> Self {
        let pid = running.stdout_line("ready ").parse().unwrap();
        Self {
            running,
            pid,
            asked: 0,
        }
    }

    fn fault(&mut self) {
        self.running.write(&format!("fault {VICTIM}\n"));
    }

    fn counts(&mut self) -> Vec<u64> {
        self.asked += 1;
        self.running.write(&format!("counts {}\n", self.asked));
        let line = self.running.stdout_line(&format!("counts {}: ", self.asked));
        line.split(' ').map(|count| count.parse().unwrap()).collect()
    }

    #[track_caller]
    fn assert_goes_on(&mut self, whole: bool) {
        let before = self.counts();
        await_that("the workers to go on", || {
            let now = self.counts();
            let on = (0..WORKERS).all(|index| !whole && index == VICTIM || now[index] > before[index] + 50);
            on.then_some(())
        });
    }

    fn command(&mut self, command: &str, answer: &str) -> String {
        self.running.write(&format!("{command}\n"));
        self.running.stdout_line(answer)
    }

    /// Everything that needs all threads, or finds out which are there.
    #[track_caller]
    fn assert_sound(&mut self, whole: bool) {
        self.assert_goes_on(whole);
        assert_eq!(self.command("setgid", "setgid "), "0");
        let pid = Pid::from_raw(self.pid);
        for (signal, stopped) in [(Signal::SIGSTOP, true), (Signal::SIGCONT, false)] {
            kill(pid, signal).unwrap();
            await_that(&format!("{signal} to take effect"), || {
                let tasks = proc::tasks(self.pid);
                let is = |state| matches!(state, 'T' | 't') == stopped;
                tasks.iter().all(|task| is(task.state)).then_some(())
            });
        }
        self.command("fork", "forked");
        self.assert_goes_on(whole);
    }
}

fn sickbay(action: &str) -> Sickbay {
    Sickbay::new().configured(&format!(
        "[[service]]\nname = \"api\"\non_fault = \"{action}\"\n[service.isolation]\nprobation = \"200ms\"\n"
    ))
}

#[track_caller]
fn settled(sickbay: &Sickbay) -> Report {
    await_that("a settled report", || {
        let reports = sickbay.reports();
        reports.into_iter().find(|report| report.has("threads"))
    })
}

/// One row under `run`, and where the process lives on, once more without its supervisor.
#[track_caller]
fn check(program: &str, lock: &str, action: &str) {
    let fate = fate(program, lock, action);
    let row = format!("{program}, {lock}, {action}");
    let under = sickbay(action);
    let mut subject = Subject::of(under.start(fixture(program), &[lock]));
    subject.fault();
    let whole = match fate {
        Fate::Dies(why) => {
            assert_eq!(
                subject.running.ended(),
                Ended::Exited(128 + libc::SIGSEGV),
                "{row}"
            );
            let report = settled(&under);
            assert_eq!(report.text("action.taken"), "deliver", "{row}");
            let reason = report.text("action.reason");
            assert!(reason.contains(why), "{row}: {reason}");
            return;
        }
        Fate::Lives { whole } => whole,
    };
    assert_eq!(settled(&under).text("action.taken"), action, "{row}");
    subject.assert_sound(whole);
    kill(Pid::from_raw(subject.pid), Signal::SIGTERM).unwrap();
    assert_eq!(
        subject.running.ended(),
        Ended::Exited(128 + libc::SIGTERM),
        "{row}"
    );

    let mut subject = Subject::of(spawn(Command::new(fixture(program)).arg(lock)));
    let over = sickbay(action);
    let (supervisor, _) = over.attach(subject.pid);
    let tracer = proc::await_all_traced(subject.pid);
    subject.fault();
    settled(&over);
    for process in [supervisor.pid(), tracer] {
        kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    }
    proc::assert_let_go(subject.pid);
    subject.assert_sound(whole);
    subject.command("exec", "executed");
    assert_eq!(subject.running.ended(), Ended::Exited(0), "{row}");
}

#[track_caller]
fn check_column(action: &str) {
    for (program, locks) in PROGRAMS {
        for lock in locks {
            check(program, lock, action);
        }
    }
}

#[test]
fn hold_is_what_the_table_says() {
    check_column("hold");
}

#[test]
fn park_is_what_the_table_says() {
    check_column("park");
}

#[test]
fn exit_is_what_the_table_says() {
    check_column("exit");
}

#[test]
fn unwind_is_what_the_table_says() {
    check_column("unwind");
}

#[test]
fn throw_is_what_the_table_says() {
    check_column("throw");
}
