//! What a decision is made from, and whether a rule matches it.

use wildmatch::WildMatch;

use crate::config::Rule;
use crate::sys::SigNo;

/// What the policy may know about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultFacts<'a> {
    /// The signal that the thread is about to take.
    pub signal: SigNo,
    /// `si_code` of that signal (sigaction(2)).
    pub code: i32,
    /// The thread's name (`comm`).
    pub thread_name: &'a str,
    /// Whether it is the thread group leader.
    pub main_thread: bool,
    /// Whether it is the only thread of its process.
    pub single_threaded: bool,
    /// Whether the process sent the signal to itself, as `abort(3)` and `raise(3)` do.
    pub raised_by_itself: bool,
}

/// Where a signal comes from, as far as `si_code` and the sender tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// The instruction at the program counter.
    Instruction,
    /// The kernel, for another reason than an instruction (limits, seccomp, timers, asynchronous input).
    Kernel,
    /// The process itself.
    Itself,
    /// Another process.
    OtherProcess,
}

/// Codes at or below 0 with which the kernel, not a process, reports (siginfo.h): SI_TIMER, SI_MESGQ,
/// SI_ASYNCIO, SI_SIGIO, SI_DETHREAD, SI_ASYNCNL.
const KERNEL_CODES: [i32; 6] = [-2, -3, -4, -5, -7, -60];

impl FaultFacts<'_> {
    /// Who raised the signal.
    pub(super) fn cause(&self) -> Cause {
        if self.code > 0 {
            if self.signal.is_hardware() {
                Cause::Instruction
            } else {
                Cause::Kernel
            }
        } else if self.raised_by_itself {
            Cause::Itself
        } else if KERNEL_CODES.contains(&self.code) {
            Cause::Kernel
        } else {
            Cause::OtherProcess
        }
    }
}

impl Cause {
    /// How a sentence about the signal goes on: "SIGSEGV was ...".
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Instruction => "was raised by the instruction itself",
            Self::Kernel => "was raised by the kernel",
            Self::Itself => "was raised by the process itself",
            Self::OtherProcess => "was sent by another process",
        }
    }
}

/// Why a rule does not match these facts; None if it does.
pub(super) fn mismatch(rule: &Rule, facts: &FaultFacts<'_>) -> Option<String> {
    if !rule.signals.is_empty() && !rule.signals.contains(&facts.signal) {
        return Some(format!("{} is not among its signals", facts.signal));
    }
    if !rule.threads.is_empty()
        && !rule
            .threads
            .iter()
            .any(|p| WildMatch::new(p).matches(facts.thread_name))
    {
        return Some(format!("thread '{}' is not among its threads", facts.thread_name));
    }
    if !rule.modules.is_empty() {
        return Some("it names a module, which is not available yet".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: FaultFacts<'static> = FaultFacts {
        signal: SigNo::SEGV,
        code: 1,
        thread_name: "worker-117",
        main_thread: false,
        single_threaded: false,
        raised_by_itself: false,
    };

    #[test]
    fn an_empty_rule_matches_everything() {
        assert_eq!(mismatch(&Rule::default(), &FACTS), None);
    }

    #[test]
    fn every_condition_must_hold_and_any_of_its_values_does() {
        let rule = |signals: &[SigNo], threads: &[&str]| Rule {
            signals: signals.to_vec(),
            threads: threads.iter().map(|&t| t.to_owned()).collect(),
            ..Rule::default()
        };
        assert_eq!(
            mismatch(&rule(&[SigNo::BUS, SigNo::SEGV], &["io", "worker-*"]), &FACTS),
            None
        );
        assert_eq!(mismatch(&rule(&[], &["worker-1?7"]), &FACTS), None);
        assert!(mismatch(&rule(&[SigNo::BUS], &["worker-*"]), &FACTS).is_some());
        assert!(
            mismatch(&rule(&[SigNo::SEGV], &["worker"]), &FACTS).is_some(),
            "a pattern covers the whole name"
        );
    }

    #[test]
    fn a_rule_about_modules_is_not_taken_for_one_about_all() {
        let rule = Rule {
            modules: vec!["libplugin*.so".into()],
            ..Rule::default()
        };
        assert!(mismatch(&rule, &FACTS).unwrap().contains("not available yet"));
    }

    #[test]
    fn the_code_and_the_sender_tell_who_raised_it() {
        let cause = |signal, code, raised_by_itself| {
            FaultFacts {
                signal,
                code,
                raised_by_itself,
                ..FACTS
            }
            .cause()
        };
        assert_eq!(cause(SigNo::SEGV, 1, false), Cause::Instruction);
        assert_eq!(cause(SigNo::SEGV, 0x80, false), Cause::Instruction);
        assert_eq!(cause(SigNo::XCPU, 0x80, false), Cause::Kernel);
        assert_eq!(cause(SigNo::SYS, 1, false), Cause::Kernel);
        assert_eq!(cause(SigNo::ABRT, -6, true), Cause::Itself);
        assert_eq!(cause(SigNo::TERM, 0, false), Cause::OtherProcess);
        assert_eq!(cause(SigNo::TERM, -6, false), Cause::OtherProcess);
        assert_eq!(cause(SigNo(40), -2, false), Cause::Kernel);
    }
}
