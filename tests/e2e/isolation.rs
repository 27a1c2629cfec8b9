//! One thread faults, and what becomes of it, of the others and of the process: by the lock it holds and the action.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Ended, Report, Running, Sickbay, await_that, fixture, is_built, proc, skip, spawn};

/// Workers of the sample program, and the one that faults.
const WORKERS: usize = 4;
const VICTIM: usize = 2;

/// The sample program under supervision, with an action.
struct Subject {
    sickbay: Sickbay,
    supervisor: Running,
    pid: i32,
    asked: usize,
}

impl Subject {
    fn start(lock: &str, action: &str) -> Self {
        Self::started(
            Sickbay::new().configured(&format!(
                "[[service]]\nname = \"api\"\non_fault = {action}\n[service.isolation]\nprobation = \"300ms\"\n"
            )),
            lock,
        )
    }

    fn started(sickbay: Sickbay, lock: &str) -> Self {
        let mut supervisor = sickbay.start(fixture("isolated"), &[lock]);
        let pid = supervisor.stdout_line("ready ").parse().unwrap();
        Self {
            sickbay,
            supervisor,
            pid,
            asked: 0,
        }
    }

    /// The victim faults; returns its report, once that is settled.
    #[track_caller]
    fn fault(&mut self) -> Report {
        self.supervisor.write(&format!("fault {VICTIM}\n"));
        self.report()
    }

    #[track_caller]
    fn report(&mut self) -> Report {
        await_that("a settled report", || {
            let reports = self.sickbay.reports();
            reports.into_iter().find(|report| report.has("threads"))
        })
    }

    fn counts(&mut self) -> Vec<u64> {
        self.asked += 1;
        self.supervisor.write(&format!("counts {}\n", self.asked));
        let line = self.supervisor.stdout_line(&format!("counts {}: ", self.asked));
        line.split(' ').map(|count| count.parse().unwrap()).collect()
    }

    /// Every worker but the victim goes on counting, well past what it may have been about to do.
    #[track_caller]
    fn assert_others_go_on(&mut self) {
        let before = self.counts();
        await_that("all other workers to go on", || {
            let now = self.counts();
            let on = (0..WORKERS).all(|index| index == VICTIM || now[index] > before[index] + 100);
            on.then_some(())
        });
        let now = self.counts();
        assert_eq!(now[VICTIM], before[VICTIM], "the victim counts no more");
    }

    #[track_caller]
    fn command(&mut self, command: &str, answer: &str) -> String {
        self.supervisor.write(&format!("{command}\n"));
        self.supervisor.stdout_line(answer)
    }

    /// What a process does that has lost a thread: it changes its ids, stops and goes on, forks, ends by SIGTERM.
    #[track_caller]
    fn assert_whole(&mut self) {
        self.assert_others_go_on();
        assert_eq!(self.command("setgid", "setgid "), "0");
        let pid = Pid::from_raw(self.pid);
        kill(pid, Signal::SIGSTOP).unwrap();
        self.await_states("stopped", |state| matches!(state, 'T' | 't'));
        kill(pid, Signal::SIGCONT).unwrap();
        self.await_states("going on", |state| !matches!(state, 'T' | 't'));
        self.command("fork", "forked");
        self.assert_others_go_on();
    }

    #[track_caller]
    fn await_states(&self, what: &str, wanted: impl Fn(char) -> bool) {
        await_that(
            &format!("every thread {what}: {:?}", proc::tasks(self.pid)),
            || {
                proc::tasks(self.pid)
                    .iter()
                    .all(|task| wanted(task.state))
                    .then_some(())
            },
        );
    }

    fn victim_is_there(&self) -> bool {
        let name = format!("worker-{VICTIM}");
        proc::tasks(self.pid).iter().any(|task| task.name == name)
    }

    #[track_caller]
    fn ends_by_sigterm(mut self) {
        kill(Pid::from_raw(self.pid), Signal::SIGTERM).unwrap();
        assert_eq!(self.supervisor.ended(), Ended::Exited(128 + libc::SIGTERM));
    }
}

/// The threads whose registers are all there.
fn copied_whole(report: &Report) -> usize {
    let whole = |thread: &&Value| thread["registers"].as_object().is_some_and(|set| set.len() > 16);
    report.list("threads").iter().filter(whole).count()
}

/// Waits until the fault has been seen: a thread in its stop may still be killed before anybody has looked.
#[track_caller]
fn await_held(sickbay: &Sickbay) {
    await_that("the first record of a held thread", || {
        sickbay.reports().into_iter().next().map(drop)
    });
}

#[track_caller]
fn assert_taken(report: &Report, action: &str) {
    assert_eq!(report.text("action.taken"), action, "{report:?}");
    assert_eq!(report.text("signal.name"), "SIGSEGV");
    assert_eq!(report.text("fault.thread_name"), format!("worker-{VICTIM}"));
}

/// The signal takes its way, because somebody needs the thread.
#[track_caller]
fn is_taken_back(lock: &str, action: &str) {
    let mut subject = Subject::start(lock, action);
    let report = subject.fault();
    assert_taken(&report, "deliver");
    let reason = report.text("action.reason");
    assert!(reason.contains("waits for the"), "{reason}");
    assert!(reason.ends_with("so SIGSEGV is delivered"), "{reason}");
    assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    assert_eq!(
        copied_whole(&report),
        WORKERS + 1,
        "the process that died was copied whole"
    );
}

#[test]
fn an_ended_thread_leaves_the_others_running() {
    let mut subject = Subject::start("nothing", "\"exit\"");
    let report = subject.fault();
    assert_taken(&report, "exit");
    assert_eq!(report.list("threads").len(), WORKERS + 1);
    assert_eq!(copied_whole(&report), 1, "only the thread itself was stopped");
    await_that("the end of the thread", || {
        (!subject.victim_is_there()).then_some(())
    });
    subject.assert_whole();
    subject.command(&format!("join {VICTIM}"), "joined");
    subject.ends_by_sigterm();
}

#[test]
fn a_parked_thread_leaves_the_others_running() {
    let mut subject = Subject::start("nothing", "\"park\"");
    let report = subject.fault();
    assert_taken(&report, "park");
    subject.assert_whole();
    assert!(subject.victim_is_there());
    subject.ends_by_sigterm();
}

/// The thread goes, and the process is asked to end.
#[test]
fn a_drained_process_ends_by_sigterm() {
    for (command, fault) in [
        (format!("fault {VICTIM}"), "worker-2"),
        ("main-fault".to_owned(), "isolated"),
    ] {
        let mut subject = Subject::start("nothing", "\"drain\"");
        subject.supervisor.write(&format!("{command}\n"));
        assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGTERM));
        let reports = subject.sickbay.reports();
        let drained: Vec<&Report> = reports
            .iter()
            .filter(|report| report.text("action.taken") == "drain")
            .collect();
        assert_eq!(drained.len(), 1, "{reports:?}");
        assert_eq!(drained[0].text("fault.thread_name"), fault);
        let evidence = drained[0].list("action.evidence");
        let asked = |line: &Value| line.as_str().unwrap().starts_with("SIGTERM was sent");
        assert!(evidence.iter().any(asked), "{evidence:?}");
    }
}

#[test]
fn a_robust_mutex_is_handed_on_by_an_ended_thread() {
    let mut subject = Subject::start("robust", "\"exit\"");
    let report = subject.fault();
    assert_taken(&report, "exit");
    subject.assert_whole();
    subject.ends_by_sigterm();
}

#[test]
fn a_thread_that_others_wait_for_takes_its_signal_after_all() {
    for lock in ["mutex", "rwlock", "robust"] {
        is_taken_back(lock, "\"hold\"");
    }
}

/// Not every lock is found before; who waits for it is.
#[test]
fn a_thread_that_holds_a_hidden_lock_is_given_its_signal_when_somebody_waits() {
    is_taken_back("hidden", "\"park\"");
    is_taken_back("hidden", "\"exit\"");
}

#[test]
fn a_thread_that_holds_a_lock_is_not_taken_away() {
    for (lock, action, held) in [
        ("mutex", "exit", "it holds the mutex at 0x"),
        ("mutex", "park", "it holds the mutex at 0x"),
        ("rwlock", "exit", "it holds the read-write lock at 0x"),
        ("robust", "park", "it holds the robust mutex at 0x"),
    ] {
        let mut subject = Subject::start(lock, &format!("\"{action}\""));
        let report = subject.fault();
        assert_taken(&report, "deliver");
        let reason = report.text("action.reason");
        assert!(
            reason.contains(&format!("{action} is too dangerous: {held}")),
            "{reason}"
        );
        assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    }
}

#[test]
fn a_hold_that_nobody_settles_ends_with_the_signal() {
    let mut subject = Subject::start("nothing", "\"hold\"");
    let report = subject.fault();
    assert_taken(&report, "deliver");
    assert!(
        report.text("action.reason").contains("hold is over"),
        "{report:?}"
    );
    assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
}

#[test]
fn the_main_thread_is_parked_and_never_ended() {
    let mut subject = Subject::start("nothing", "[\"exit\", \"park\"]");
    let before = subject.counts();
    subject.supervisor.write("main-fault\n");
    let report = subject.report();
    assert_eq!(report.text("action.taken"), "park", "{report:?}");
    assert!(report.text("action.reason").contains("main thread"), "{report:?}");
    assert!(proc::is_alive(subject.pid));
    assert_eq!(proc::tasks(subject.pid).len(), WORKERS + 1, "after {before:?}");
    subject.ends_by_sigterm();
}

#[test]
fn an_exec_by_another_thread_ends_a_hold_and_a_parked_thread() {
    let mut subject = Subject::start("nothing", "\"park\"");
    assert_taken(&subject.fault(), "park");
    subject.command("exec", "executed");
    assert_eq!(subject.supervisor.ended(), Ended::Exited(0));

    let long = "[[service]]\nname = \"api\"\non_fault = \"park\"\n[service.isolation]\nprobation = \"60s\"\n";
    let mut subject = Subject::started(Sickbay::new().configured(long), "nothing");
    subject.supervisor.write(&format!("fault {VICTIM}\n"));
    await_held(&subject.sickbay);
    subject.command("exec", "executed");
    assert_eq!(subject.supervisor.ended(), Ended::Exited(0));
    let report = subject.sickbay.only_report();
    assert_taken(&report, "deliver");
    assert!(
        report.text("action.reason").contains("ended with its process"),
        "{report:?}"
    );
}

/// Of threads with one name one may go within a minute.
#[test]
fn a_second_thread_of_its_name_is_not_taken_away() {
    let mut subject = Subject::start("nothing", "\"exit\"");
    assert_taken(&subject.fault(), "exit");
    subject.supervisor.write("fault 0\n");
    assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    let reports = subject.sickbay.reports();
    let reason = reports.last().unwrap().text("action.reason");
    assert!(
        reason.contains("1 of the threads called 'worker-#' was taken away within a minute"),
        "{reason}"
    );
}

/// Three threads may go; with the fourth the service is no longer what it was.
#[test]
fn past_the_budget_the_signal_takes_its_way() {
    let mut subject = Subject::started(
        Sickbay::new().configured(
            "[[service]]\nname = \"api\"\non_fault = \"exit\"\n\
             [service.isolation]\nprobation = \"50ms\"\nthreads_per_group = 9\n",
        ),
        "nothing",
    );
    for (index, lost) in ["0", "1", "2"].into_iter().enumerate() {
        subject.supervisor.write(&format!("fault {lost}\n"));
        await_that("the end of the thread", || {
            (proc::tasks(subject.pid).len() == WORKERS - index).then_some(())
        });
    }
    subject.supervisor.write("fault 3\n");
    assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    let reports = subject.sickbay.reports();
    let reason = reports.last().unwrap().text("action.reason");
    assert!(reason.contains("has lost 3 threads"), "{reason}");
}

/// A fault without a rule against it, whose program is let go while the thread is held.
#[test]
fn letting_go_carries_out_what_was_decided() {
    let mut program = spawn(Command::new(fixture("isolated")).arg("nothing"));
    let pid: i32 = program.stdout_line("ready ").parse().unwrap();
    let long = "[[service]]\nname = \"api\"\non_fault = \"park\"\n[service.isolation]\nprobation = \"60s\"\n";
    let sickbay = Sickbay::new().configured(long);
    let (mut supervisor, _) = sickbay.attach(pid);
    program.write(&format!("fault {VICTIM}\n"));
    await_held(&sickbay);
    supervisor.signal(Signal::SIGINT);
    supervisor.ended();
    assert_taken(&sickbay.only_report(), "park");
    proc::assert_let_go(pid);
    program.write("setgid\n");
    assert_eq!(program.stdout_line("setgid "), "0");
}

#[test]
fn the_operator_reads_one_line() {
    let mut subject = Subject::start("nothing", "\"exit\"");
    let report = subject.fault();
    let path = report.directory().to_str().unwrap().to_owned();
    let line = subject.supervisor.stderr_line("sickbay: isolated ");
    assert!(
        line.contains("; isolated by exit; ") && line.ends_with(&path),
        "{line}"
    );
    assert_eq!(subject.supervisor.stderr_so_far().lines().count(), 1);
}

#[test]
fn an_abort_of_a_thread_can_be_isolated() {
    let mut subject = Subject::start("nothing", "\"park\"");
    subject.supervisor.write("raise SIGABRT\n");
    let report = subject.report();
    assert_eq!(report.text("action.taken"), "park", "{report:?}");
    subject.ends_by_sigterm();
}

/// Its library has no unwind information, so nobody can say what its threads are in the middle of.
#[test]
fn a_thread_of_musl_takes_its_signal() {
    for program in ["musl_worker", "musl_worker_static"] {
        if !is_built(program) {
            skip("musl-gcc is not installed");
            continue;
        }
        let sickbay = Sickbay::new().option("--action", "unwind,exit,park");
        let mut supervisor = sickbay.start(fixture(program), &[] as &[&str]);
        supervisor.stdout_line("ready ");
        supervisor.write("fault\n");
        assert_eq!(
            supervisor.ended(),
            Ended::Exited(128 + libc::SIGSEGV),
            "{program}"
        );
        let report = sickbay.only_report();
        assert_eq!(report.text("action.taken"), "deliver", "{program}");
        let reason = report.text("action.reason");
        assert!(
            reason.contains("unwind, exit and park are too dangerous: whether it is inside"),
            "{program}: {reason}"
        );
    }
}

#[test]
fn nothing_is_isolated_where_memory_is_likely_corrupt() {
    for (way, signal) in [
        ("double-free", libc::SIGABRT),
        ("stack-smash", libc::SIGABRT),
        ("wild-exec", libc::SIGSEGV),
        ("jump-data", libc::SIGSEGV),
        ("non-canonical", libc::SIGSEGV),
    ] {
        let sickbay = Sickbay::new().option("--action", "throw,unwind,rescue,exit,park,skip");
        let outcome = sickbay.run(fixture("die"), &[way]);
        assert_eq!(outcome.code(), 128 + signal, "{way}: {outcome:#?}");
        let report = sickbay.only_report();
        assert_eq!(report.text("action.taken"), "deliver", "{way}");
        let reason = report.text("action.reason");
        assert!(reason.contains("memory is likely corrupt"), "{way}: {reason}");
    }
}

/// What the filter allows is not known, and it may end the process for what it does not.
#[test]
fn a_thread_under_a_seccomp_filter_takes_its_signal() {
    for action in ["exit", "park"] {
        let mut subject = Subject::start("nothing", &format!("\"{action}\""));
        subject.command("filter", "filtered");
        let report = subject.fault();
        assert_taken(&report, "deliver");
        let reason = report.text("action.reason");
        assert!(
            reason.contains(&format!(
                "{action} is not possible: a seccomp filter is installed"
            )),
            "{reason}"
        );
        assert_eq!(subject.supervisor.ended(), Ended::Exited(128 + libc::SIGSEGV));
    }
}

/// What it holds there names no owner, and nobody would be seen to wait for it; what a handler interrupted is not known.
#[test]
fn a_thread_in_the_middle_of_something_takes_its_signal() {
    for (function, inside, signal) in [
        ("malloc", "inside the allocator (`malloc`)", libc::SIGSEGV),
        ("printf", "inside the C library (`fprintf`)", libc::SIGSEGV),
        ("qsort", "inside the C library (`qsort", libc::SIGSEGV),
        ("handler", "inside a signal handler", libc::SIGSEGV),
    ] {
        let mut subject = Subject::start("nothing", "[\"exit\", \"park\"]");
        subject.supervisor.write(&format!("inside {VICTIM} {function}\n"));
        assert_eq!(
            subject.supervisor.ended(),
            Ended::Exited(128 + signal),
            "{function}"
        );
        let report = subject.sickbay.only_report();
        assert_taken(&report, "deliver");
        let reason = report.text("action.reason");
        assert!(
            reason.contains("exit and park are too dangerous: ") && reason.contains(inside),
            "{reason}"
        );
    }
}

/// Whoever dies: the thread takes its signal, or is where the action wanted it.
#[cfg(feature = "fail-points")]
#[test]
fn a_tracer_that_dies_leaves_the_thread_with_its_signal_or_isolated() {
    for (point, action, dies) in [
        ("tracer.fault.considered", "exit", true),
        ("tracer.hold.begun", "exit", true),
        ("tracer.hold.prepared", "exit", true),
        ("tracer.hold.settled", "exit", false),
        ("tracer.drain.asked", "drain", true),
        ("isolate.park.sent", "park", true),
        ("tracer.hold.prepared", "park", false),
        ("tracer.hold.settled", "park", false),
    ] {
        let sickbay = Sickbay::new();
        let mark = sickbay.scratch().join("mark");
        let sickbay = sickbay
            .variable("SICKBAY_FAIL", point)
            .variable("SICKBAY_FAIL_MARK", &mark)
            .configured(&format!(
                "[[service]]\nname = \"api\"\non_fault = \"{action}\"\n[service.isolation]\nprobation = \"50ms\"\n"
            ));
        let mut subject = Subject::started(sickbay, "nothing");
        subject.supervisor.write(&format!("fault {VICTIM}\n"));
        await_that(point, || mark.exists().then_some(()));
        if dies {
            let Ended::Exited(status) = subject.supervisor.ended() else {
                panic!("{action}, at {point}");
            };
            // A process that has been asked to end may do so first.
            let asked = action == "drain" && status == 128 + libc::SIGTERM;
            assert!(
                asked || status == 128 + libc::SIGSEGV,
                "{action}, at {point}: {status}"
            );
            continue;
        }
        subject.assert_others_go_on();
        if action == "exit" {
            // It is on its way out, with nobody to wait for.
            await_that("the thread's end", || (!subject.victim_is_there()).then_some(()));
        } else {
            assert!(subject.victim_is_there(), "{action}, at {point}");
        }
        subject.ends_by_sigterm();
    }
}

/// Nothing of an isolation depends on the supervisor any more once it is done.
#[test]
fn an_isolation_outlives_its_supervisor() {
    for action in ["exit", "park"] {
        let mut program = spawn(Command::new(fixture("isolated")).arg("nothing"));
        let pid: i32 = program.stdout_line("ready ").parse().unwrap();
        let sickbay = Sickbay::new().configured(&format!(
            "[[service]]\nname = \"api\"\non_fault = \"{action}\"\n[service.isolation]\nprobation = \"50ms\"\n"
        ));
        let (supervisor, _) = sickbay.attach(pid);
        let tracer = proc::await_all_traced(pid);
        program.write(&format!("fault {VICTIM}\n"));
        await_that("a settled report", || {
            let reports = sickbay.reports();
            reports.iter().any(|report| report.has("threads")).then_some(())
        });
        for process in [supervisor.pid(), tracer] {
            kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
        }
        proc::assert_let_go(pid);
        program.write("setgid\nfork\ncounts 1\n");
        assert_eq!(program.stdout_line("setgid "), "0");
        program.stdout_line("forked");
        let victim = format!("worker-{VICTIM}");
        let parked = proc::tasks(pid)
            .iter()
            .any(|task| task.name == victim && task.state == 'S');
        assert_eq!(parked, action == "park", "{:?}", proc::tasks(pid));
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert_eq!(program.ended(), Ended::Killed(libc::SIGTERM, false));
    }
}
