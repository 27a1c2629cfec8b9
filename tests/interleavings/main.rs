//! The pure machine of `trace` against a small [`kernel`], under generated interleavings.
//!
//! A program of steps is generated: what processes and their users do, and when the tracer looks at a task, acts upon what
//! it saw, and decides about a signal. Between any two of these anything may happen: parents die before they report,
//! children report before parents, SIGKILL ends a stop that was looked at, exec gives a stopped leader's id to another
//! thread. Whatever happens:
//!
//! * every stop is answered once, by the request that fits it, and nothing is left stopped;
//! * no signal is lost, doubled or changed;
//! * no system call returns `EINTR` that would not have done so untraced;
//! * the tracer knows the tasks that exist, and no others.
//!
//! That the properties can fail is tested as well: each [`tracer::Mistake`] is found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed step of a test is the test's failure, whichever function it is in"
)]

mod kernel;
mod tracer;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use sickbay::sys::wait::Birth;
use sickbay::sys::{SigNo, Tid};

use kernel::{Kernel, SignalFate};
use tracer::{Mistake, Tracer};

/// So many times what proptest calls its cases (256, or `PROPTEST_CASES`) are tried for the machine as it is.
const SHARE: u32 = 4;
/// The longest program.
const STEPS: usize = 120;

/// One step. Numbers choose among the tasks that there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize, SigNo),
    Start(usize, Birth),
    Exit(usize),
    Kill(usize),
    Exec(usize),
    Look(usize),
    Act,
    Decide(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..64_usize;
    let signal = prop_oneof![
        Just(SigNo::CHLD),
        Just(SigNo(10)),
        Just(SigNo(40)),
        Just(SigNo::STOP),
        Just(SigNo::CONT),
    ];
    let birth = prop_oneof![
        3 => Just(Birth::Clone),
        1 => Just(Birth::Fork),
        1 => Just(Birth::Vfork),
    ];
    prop_oneof![
        12 => (who.clone(), signal).prop_map(|(who, signal)| Step::Send(who, signal)),
        4 => (who.clone(), birth).prop_map(|(who, birth)| Step::Start(who, birth)),
        1 => who.clone().prop_map(Step::Exit),
        1 => who.clone().prop_map(Step::Kill),
        1 => who.clone().prop_map(Step::Exec),
        20 => who.clone().prop_map(Step::Look),
        20 => Just(Step::Act),
        10 => who.prop_map(Step::Decide),
    ]
}

/// Runs a program to its end, continues what is stopped, sends everybody a last signal without effect, and returns
/// everything that went wrong.
fn run(steps: &[Step], mistake: Option<Mistake>) -> Vec<String> {
    let mut kernel = Kernel::with_threads(3);
    let mut tracer = Tracer::of(&kernel, mistake);
    for step in steps {
        perform(*step, &mut kernel, &mut tracer);
    }
    tracer.drain(&mut kernel);
    check_at_rest(&mut kernel, &mut tracer);
    for signal in [SigNo::CONT, SigNo::CHLD] {
        for tid in kernel.tasks().into_keys() {
            kernel.send(tid, signal);
        }
        tracer.drain(&mut kernel);
        check_at_rest(&mut kernel, &mut tracer);
    }
    let lost = kernel
        .fates()
        .iter()
        .filter(|fate| **fate == SignalFate::Pending)
        .count();
    if lost > 0 {
        kernel.violations.push(format!("{lost} signals never arrived"));
    }
    kernel.violations
}

fn perform(step: Step, kernel: &mut Kernel, tracer: &mut Tracer) {
    let tasks: Vec<Tid> = kernel.tasks().into_keys().collect();
    let task = |choice: usize| tasks.get(choice % tasks.len().max(1)).copied();
    match step {
        Step::Send(who, signal) => {
            if let Some(tid) = task(who) {
                kernel.send(tid, signal);
            }
        }
        Step::Start(who, birth) => {
            if let Some(tid) = task(who) {
                kernel.start(tid, birth);
            }
        }
        Step::Exit(who) => {
            if let Some(tid) = task(who) {
                kernel.exit(tid);
            }
        }
        Step::Kill(who) => {
            if let Some(tid) = task(who) {
                kernel.kill(kernel.tasks()[&tid]);
            }
        }
        Step::Exec(who) => {
            if let Some(tid) = task(who) {
                kernel.exec(tid);
            }
        }
        Step::Look(choice) => tracer.look(kernel, choice),
        Step::Act => tracer.act(kernel),
        Step::Decide(choice) => tracer.decide(kernel, choice),
    }
}

fn check_at_rest(kernel: &mut Kernel, tracer: &mut Tracer) {
    tracer.audit(kernel);
    let mut wrong = tracer.delusions(kernel);
    let stopped = kernel.stopped();
    if !stopped.is_empty() {
        wrong.push(format!("{stopped:?} are left stopped"));
    }
    let reporting = kernel.reporting();
    if !reporting.is_empty() {
        wrong.push(format!("{reporting:?} are not attended to"));
    }
    let out_of_step = kernel.out_of_step();
    if !out_of_step.is_empty() {
        wrong.push(format!("{out_of_step:?} are out of step with their group"));
    }
    kernel.violations.extend(wrong);
}

/// How many times as many are tried at most where one has to go wrong: few show the rarest mistake.
const RARE: u32 = 16;

/// Tries programs until one goes wrong; the shortest form of it.
fn search(mistake: Option<Mistake>) -> Option<(Vec<Step>, Vec<String>)> {
    let standard = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: standard.cases * SHARE * if mistake.is_some() { RARE } else { 1 },
        failure_persistence: None,
        ..standard
    });
    let programs = proptest::collection::vec(step(), 0..STEPS);
    let outcome = runner.run(&programs, |steps| {
        let wrong = run(&steps, mistake);
        prop_assert!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(_, steps)) => {
            let wrong = run(&steps, mistake);
            Some((steps, wrong))
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn whatever_happens_every_stop_is_answered_and_no_signal_is_lost() {
    if let Some((steps, wrong)) = search(None) {
        panic!("{steps:#?}\n{wrong:#?}");
    }
}

#[test]
fn every_mistake_is_found() {
    for mistake in Mistake::ALL {
        let found = search(Some(mistake));
        let (steps, wrong) = found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
        println!("{mistake:?}: {} steps: {}", steps.len(), wrong.join("; "));
    }
}
