//! What a decision is made from, and whether a rule matches it.

use wildmatch::WildMatch;

use crate::config::{Action, Rule};
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
    /// The file that the program counter lies in.
    pub module: Option<&'a str>,
    /// The function that it lies in.
    pub function: Option<&'a str>,
    /// What happened, as a report calls it.
    pub cause: Option<&'a str>,
    /// What speaks against acting on the thread.
    pub dangers: &'a [Danger],
}

/// Something about a thread or its process that makes actions on the thread too dangerous.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Danger {
    /// What was found, as a sentence.
    pub what: String,
    /// The actions that may be taken all the same.
    pub allows: &'static [Action],
}

/// Where a signal comes from, as far as `si_code` and the sender tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RaisedBy {
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
    pub(super) fn raised_by(&self) -> RaisedBy {
        if self.code > 0 {
            if self.signal.is_hardware() {
                RaisedBy::Instruction
            } else {
                RaisedBy::Kernel
            }
        } else if self.raised_by_itself {
            RaisedBy::Itself
        } else if KERNEL_CODES.contains(&self.code) {
            RaisedBy::Kernel
        } else {
            RaisedBy::OtherProcess
        }
    }
}

impl FaultFacts<'_> {
    /// Whether the signal tells of a fault of the thread that took it. The kernel gives a signal that was sent to a process
    /// to any thread of it.
    pub(super) fn blames_thread(&self) -> bool {
        match self.raised_by() {
            RaisedBy::Instruction => true,
            RaisedBy::Itself => matches!(self.signal, SigNo::ABRT | SigNo::TRAP),
            RaisedBy::Kernel | RaisedBy::OtherProcess => false,
        }
    }
}

impl RaisedBy {
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
    let file_name = facts.module.and_then(|path| path.rsplit('/').next());
    let conditions = [
        (&rule.modules, file_name, "module"),
        (&rule.functions, facts.function, "function"),
        (&rule.causes, facts.cause, "cause"),
    ];
    conditions
        .into_iter()
        .find_map(|(patterns, found, what)| mismatch_of(patterns, found, what))
}

fn mismatch_of(patterns: &[String], found: Option<&str>, what: &str) -> Option<String> {
    if patterns.is_empty() {
        return None;
    }
    match found {
        None => Some(format!("the {what} of the fault is not known")),
        Some(found)
            if patterns
                .iter()
                .any(|pattern| WildMatch::new(pattern).matches(found)) =>
        {
            None
        }
        Some(found) => Some(format!("{what} '{found}' is not among its {what}s")),
    }
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
        module: Some("/usr/lib/libplugin-a.so"),
        function: None,
        cause: Some("null pointer dereference"),
        dangers: &[],
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
    fn module_function_and_cause_are_matched_where_they_are_known() {
        let rule = |modules: &str, functions: &str, causes: &str| {
            let list = |pattern: &str| {
                let pattern = (!pattern.is_empty()).then(|| pattern.to_owned());
                pattern.into_iter().collect()
            };
            Rule {
                modules: list(modules),
                functions: list(functions),
                causes: list(causes),
                ..Rule::default()
            }
        };
        assert_eq!(mismatch(&rule("libplugin*.so", "", "null *"), &FACTS), None);
        assert_eq!(
            mismatch(&rule("libother.so", "", ""), &FACTS).unwrap(),
            "module 'libplugin-a.so' is not among its modules"
        );
        assert_eq!(
            mismatch(&rule("", "parse_*", ""), &FACTS).unwrap(),
            "the function of the fault is not known"
        );
        assert!(mismatch(&rule("", "", "stack overflow"), &FACTS).is_some());
    }

    #[test]
    fn only_a_synchronous_fault_blames_its_thread() {
        let blamed = |signal, code, raised_by_itself| {
            FaultFacts {
                signal,
                code,
                raised_by_itself,
                ..FACTS
            }
            .blames_thread()
        };
        assert!(blamed(SigNo::SEGV, 1, false) && blamed(SigNo::ABRT, -6, true));
        assert!(!blamed(SigNo::SEGV, -6, true), "raised for another thread, maybe");
        assert!(!blamed(SigNo::TERM, 0, false) && !blamed(SigNo::XCPU, 0x80, false));
    }

    #[test]
    fn the_code_and_the_sender_tell_who_raised_it() {
        let raised_by = |signal, code, raised_by_itself| {
            FaultFacts {
                signal,
                code,
                raised_by_itself,
                ..FACTS
            }
            .raised_by()
        };
        assert_eq!(raised_by(SigNo::SEGV, 1, false), RaisedBy::Instruction);
        assert_eq!(raised_by(SigNo::SEGV, 0x80, false), RaisedBy::Instruction);
        assert_eq!(raised_by(SigNo::XCPU, 0x80, false), RaisedBy::Kernel);
        assert_eq!(raised_by(SigNo::SYS, 1, false), RaisedBy::Kernel);
        assert_eq!(raised_by(SigNo::ABRT, -6, true), RaisedBy::Itself);
        assert_eq!(raised_by(SigNo::TERM, 0, false), RaisedBy::OtherProcess);
        assert_eq!(raised_by(SigNo::TERM, -6, false), RaisedBy::OtherProcess);
        assert_eq!(raised_by(SigNo(40), -2, false), RaisedBy::Kernel);
    }
}
