//! Which action a fault gets.

use std::collections::VecDeque;

use super::matching::{FaultFacts, RaisedBy, mismatch};
use super::obstacle::{Asleep, obstacle, obstacle_asleep};
use crate::config::{Action, Ladder, Rule, Service};
use crate::sys::SigNo;
use crate::sys::signal::code_name;

/// What is to be done about a fault, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What the configuration asked for, in its order.
    pub requested: Vec<Action>,
    /// What is done.
    pub taken: Action,
    /// The signal that the thread gets in place of its own, where it gets one.
    pub deliver_as: Option<SigNo>,
    /// Why, as a sentence.
    pub reason: String,
    /// What was looked at, one sentence each.
    pub evidence: Vec<String>,
    /// The rule that decided, as "service.rule #2 (/etc/sickbay/sickbay.toml:12)"; None if `on_fault` did.
    pub rule: Option<String>,
}

/// A decision in the making: the first rule that matches asks, else `on_fault`; the first action of its ladder that can
/// be taken is; when none can, the signal is delivered.
///
/// What the facts forbid is passed over here. Whether an action can be carried out is the caller's to find: it takes
/// one [`step`](Self::step) after another, and says by [`pass`](Self::pass) why one cannot be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// The signal, and where it came from in words; none where neither is known here.
    signal: Option<(SigNo, &'static str)>,
    asker: String,
    /// What the configuration asked for.
    requested: Vec<Action>,
    /// What is tried.
    ladder: Ladder,
    rule: Option<String>,
    deliver_as: Option<SigNo>,
    evidence: Vec<String>,
    steps: VecDeque<(Action, Option<String>)>,
    passed: Vec<Passed>,
    taken: Option<Action>,
    how: Option<String>,
}

/// Actions that were passed over, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Passed {
    /// None where `why` is a clause of its own.
    actions: Vec<Action>,
    /// What they are: "too dangerous: it holds the mutex at 0x1000".
    why: String,
}

/// The action for this fault, as far as its facts alone decide.
pub fn decide(facts: &FaultFacts<'_>, service: &Service) -> Decision {
    let mut walk = Walk::begin(facts, service);
    walk.step();
    walk.end()
}

impl Walk {
    /// Finds out who asks for what, and what the facts forbid of it.
    pub fn begin(facts: &FaultFacts<'_>, service: &Service) -> Self {
        let mut evidence = describe(facts);
        let mut deciding = None;
        for (index, rule) in service.rules.iter().enumerate() {
            match mismatch(rule, facts) {
                None => {
                    deciding = Some((label(index, rule), rule));
                    break;
                }
                Some(why) => evidence.push(format!("{} does not match: {why}", label(index, rule))),
            }
        }
        let mut deliver_as = None;
        let (rule, ladder) = match deciding {
            Some((label, rule)) => {
                deliver_as = rule.deliver_as;
                (Some(label), rule.action.clone())
            }
            None => (None, service.on_fault.clone()),
        };
        if let Some(signal) = deliver_as.filter(|_| facts.raised_by() == RaisedBy::Instruction) {
            evidence.push(format!(
                "deliver_as {signal} is passed over: after its handler the instruction would fault again"
            ));
            deliver_as = None;
        }
        let asker = match (&rule, service.rules.is_empty()) {
            (Some(label), _) => label.clone(),
            (None, true) => "on_fault".to_owned(),
            (None, false) => "no rule matches, and on_fault".to_owned(),
        };
        let steps = ladder.0.iter().map(|action| (*action, obstacle(*action, facts)));
        Self {
            signal: Some((facts.signal, facts.raised_by().words())),
            asker,
            rule,
            deliver_as,
            evidence,
            steps: steps.collect(),
            requested: ladder.0.clone(),
            ladder,
            passed: Vec::new(),
            taken: None,
            how: None,
        }
    }

    /// The same decision made anew by somebody who asks for other actions: `asker` as a report calls them.
    pub fn ordered(&self, facts: &FaultFacts<'_>, actions: Ladder, asker: &str) -> Self {
        let steps = actions.0.iter().map(|action| (*action, obstacle(*action, facts)));
        let steps = steps.collect();
        self.anew(steps, actions, asker)
    }

    /// The same about a thread that sleeps since its fault. Its own signal is what it is given.
    pub fn ordered_asleep(&self, thread: Asleep, actions: Ladder, asker: &str) -> Self {
        let steps = steps_asleep(thread, &actions);
        Self {
            deliver_as: None,
            ..self.anew(steps, actions, asker)
        }
    }

    /// A decision about a thread that sleeps, whose fault is not known here.
    pub fn of_sleeper(thread: Asleep, actions: Ladder, asker: &str) -> Self {
        Self {
            signal: None,
            asker: asker.to_owned(),
            requested: Vec::new(),
            rule: None,
            deliver_as: None,
            evidence: Vec::new(),
            steps: steps_asleep(thread, &actions),
            ladder: actions,
            passed: Vec::new(),
            taken: None,
            how: None,
        }
    }

    fn anew(&self, steps: VecDeque<(Action, Option<String>)>, actions: Ladder, asker: &str) -> Self {
        Self {
            signal: self.signal,
            asker: format!("{} asks for {}; {asker}", self.asker, self.ladder),
            requested: self.requested.clone(),
            rule: self.rule.clone(),
            deliver_as: self.deliver_as,
            evidence: self.evidence.clone(),
            steps,
            ladder: actions,
            passed: Vec::new(),
            taken: None,
            how: None,
        }
    }

    /// Whether no action of the ladder is left that could be taken.
    pub fn is_at_its_end(&self) -> bool {
        self.taken.is_none() && self.steps.is_empty()
    }

    /// Why the actions that were passed over cannot be taken, as clauses.
    pub fn obstacles(&self) -> String {
        let passed: Vec<String> = self.passed.iter().map(Passed::clause).collect();
        passed.join("; ")
    }

    /// The next action that the facts allow: [`Action::Deliver`] when the ladder is at its end.
    pub fn step(&mut self) -> Action {
        self.taken = None;
        while let Some((action, obstacle)) = self.steps.pop_front() {
            match obstacle {
                None => {
                    self.taken = Some(action);
                    return action;
                }
                Some(why) => match self.passed.iter_mut().find(|passed| passed.why == why) {
                    Some(passed) => passed.actions.push(action),
                    None => self.passed.push(Passed {
                        actions: vec![action],
                        why,
                    }),
                },
            }
        }
        Action::Deliver
    }

    /// The action of the last step cannot be carried out.
    pub fn pass(&mut self, why: impl Into<String>) {
        self.passed.push(Passed {
            actions: Vec::new(),
            why: why.into(),
        });
    }

    /// Nothing of the ladder is left to try: the signal takes its way.
    pub fn give_up(&mut self) {
        self.steps.clear();
        self.taken = None;
    }

    /// What the action of the last step is, as a clause.
    pub fn explain(&mut self, how: impl Into<String>) {
        self.how = Some(how.into());
    }

    /// Something that was looked at.
    pub fn note(&mut self, evidence: impl Into<String>) {
        self.evidence.push(evidence.into());
    }

    /// The action of the last step is taken.
    pub fn end(self) -> Decision {
        let mut reason = self.reason();
        if let Some(how) = &self.how {
            reason.push_str("; ");
            reason.push_str(how);
        }
        Decision {
            requested: self.requested,
            taken: self.taken.unwrap_or_default(),
            deliver_as: self.deliver_as,
            reason,
            evidence: self.evidence,
            rule: self.rule,
        }
    }

    fn reason(&self) -> String {
        let Self { asker, ladder, .. } = self;
        let (signal, origin) = match self.signal {
            Some((signal, origin)) => (signal.to_string(), origin),
            None => ("its signal".to_owned(), ""),
        };
        let passed = self.obstacles();
        let delivered = match self.deliver_as {
            Some(other) => format!("{other} is delivered in place of {signal}"),
            None => format!("{signal} is delivered"),
        };
        let asked = if ladder.0.is_empty() {
            "nothing".to_owned()
        } else {
            ladder.to_string()
        };
        match (self.taken, passed.as_str()) {
            (None, "") => format!("{asker} asks for {asked}; so {delivered}"),
            (None, _) => format!("{asker} asks for {asked}: {passed}; so {delivered}"),
            (Some(Action::Suppress), "") => format!("{asker} asks for {asked}; {signal} {origin}"),
            (Some(Action::Suppress), _) => format!("{asker} asks for {asked}: {passed}; {signal} {origin}"),
            (Some(Action::Deliver), "") if self.deliver_as.is_some() => {
                format!("{asker} asks for {asked}; {delivered}")
            }
            (Some(_), "") => format!("{asker} asks for {asked}"),
            (Some(Action::Deliver), _) => format!("{asker} asks for {asked}: {passed}; so {delivered}"),
            (Some(action), _) => format!("{asker} asks for {asked}: {passed}; so {action} is taken"),
        }
    }
}

impl Passed {
    /// "exit and park are too dangerous: it holds the mutex at 0x1000".
    fn clause(&self) -> String {
        let names: Vec<&str> = self.actions.iter().map(|action| action.name()).collect();
        let why = &self.why;
        match names.as_slice() {
            [] => why.clone(),
            [name] => format!("{name} is {why}"),
            [names @ .., last] => format!("{} and {last} are {why}", names.join(", ")),
        }
    }
}

fn steps_asleep(thread: Asleep, actions: &Ladder) -> VecDeque<(Action, Option<String>)> {
    let steps = actions.0.iter();
    steps
        .map(|action| (*action, obstacle_asleep(*action, thread)))
        .collect()
}

/// The facts in words, for a report.
fn describe(facts: &FaultFacts<'_>) -> Vec<String> {
    let code = match code_name(facts.signal, facts.code) {
        Some(name) => format!("{} ({name})", facts.code),
        None => facts.code.to_string(),
    };
    let place = match (facts.single_threaded, facts.main_thread) {
        (true, _) => "the only thread of its process",
        (false, true) => "the main thread",
        (false, false) => "one thread of several, not the main one",
    };
    let mut words = vec![
        format!(
            "{} {}, with si_code {code}",
            facts.signal,
            facts.raised_by().words()
        ),
        format!("'{}' is {place}", facts.thread_name),
    ];
    words.extend(facts.cause.map(|cause| format!("cause: {cause}")));
    words.extend(facts.dangers.iter().map(|danger| danger.what.clone()));
    words
}

/// How a report names a rule.
fn label(index: usize, rule: &Rule) -> String {
    match &rule.origin {
        Some(origin) => format!("service.rule #{} ({origin})", index + 1),
        None => format!("service.rule #{}", index + 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Origin;
    use crate::policy::Danger;

    fn fault(signal: SigNo, code: i32) -> FaultFacts<'static> {
        FaultFacts {
            signal,
            code,
            thread_name: "worker-117",
            main_thread: false,
            single_threaded: false,
            raised_by_itself: false,
            module: None,
            function: None,
            cause: None,
            dangers: &[],
        }
    }

    fn service(on_fault: &str) -> Service {
        Service {
            on_fault: on_fault.parse().unwrap(),
            ..Service::for_run("api")
        }
    }

    #[test]
    fn without_rules_on_fault_decides() {
        let decision = decide(&fault(SigNo::SEGV, 1), &Service::for_run("api"));
        assert_eq!(decision.taken, Action::Deliver);
        assert_eq!(decision.requested, [Action::Deliver]);
        assert_eq!(decision.reason, "on_fault asks for deliver");
        assert_eq!(decision.rule, None);
        assert_eq!(
            decision.evidence,
            [
                "SIGSEGV was raised by the instruction itself, with si_code 1 (SEGV_MAPERR)",
                "'worker-117' is one thread of several, not the main one",
            ]
        );
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let mut service = service("deliver");
        let rule = |signal, line, action: &str| Rule {
            signals: vec![signal],
            action: action.parse().unwrap(),
            origin: Some(Origin {
                file: "sickbay.toml".into(),
                line,
            }),
            ..Rule::default()
        };
        service.rules = vec![
            rule(SigNo::BUS, 3, "deliver"),
            rule(SigNo::TERM, 12, "suppress"),
            rule(SigNo::TERM, 20, "deliver"),
        ];
        let decision = decide(&fault(SigNo::TERM, 0), &service);
        assert_eq!(decision.taken, Action::Suppress);
        assert_eq!(
            decision.rule.as_deref(),
            Some("service.rule #2 (sickbay.toml:12)")
        );
        assert_eq!(
            decision.reason,
            "service.rule #2 (sickbay.toml:12) asks for suppress; SIGTERM was sent by another process"
        );
        assert!(decision.evidence[2].starts_with("service.rule #1 (sickbay.toml:3) does not match"));

        let decision = decide(&fault(SigNo::SEGV, 1), &service);
        assert_eq!((decision.taken, decision.rule), (Action::Deliver, None));
        assert_eq!(decision.reason, "no rule matches, and on_fault asks for deliver");
    }

    #[test]
    fn what_the_thread_raised_is_never_suppressed() {
        let decision = decide(&fault(SigNo::SEGV, 1), &service("suppress"));
        assert_eq!(decision.taken, Action::Deliver);
        assert_eq!(
            decision.reason,
            "on_fault asks for suppress: suppress is for signals that another process sent; \
             SIGSEGV was raised by the instruction itself; so SIGSEGV is delivered"
        );
        let abort = FaultFacts {
            raised_by_itself: true,
            ..fault(SigNo::ABRT, -6)
        };
        assert_eq!(decide(&abort, &service("suppress")).taken, Action::Deliver);
        assert_eq!(
            decide(&fault(SigNo::XCPU, 0x80), &service("suppress")).taken,
            Action::Deliver
        );
    }

    #[test]
    fn the_ladder_goes_on_past_what_cannot_be_done() {
        let decision = decide(&fault(SigNo::TERM, 0), &service("exit,suppress,deliver"));
        assert_eq!(decision.taken, Action::Suppress);
        assert_eq!(
            decision.reason,
            "on_fault asks for exit, suppress, deliver: exit is for a fault of the thread itself; \
             SIGTERM was sent by another process; SIGTERM was sent by another process"
        );
        let mut walk = Walk::begin(&fault(SigNo::SEGV, 1), &service("exit,park,deliver"));
        assert_eq!(walk.step(), Action::Exit);
        walk.pass("exit is not possible: it hangs on a nail");
        assert_eq!(walk.step(), Action::Park);
        assert_eq!(
            walk.clone().end().reason,
            "on_fault asks for exit, park, deliver: exit is not possible: it hangs on a nail; so park is taken"
        );
        walk.pass("park was taken back: 'worker-3' waits for it");
        walk.give_up();
        let decision = walk.end();
        assert_eq!(decision.taken, Action::Deliver);
        assert!(
            decision
                .reason
                .ends_with("'worker-3' waits for it; so SIGSEGV is delivered"),
            "{}",
            decision.reason
        );
    }

    #[test]
    fn the_main_thread_never_exits_and_an_only_thread_is_never_taken_away() {
        let main = FaultFacts {
            main_thread: true,
            ..fault(SigNo::SEGV, 1)
        };
        assert_eq!(decide(&main, &service("exit,park")).taken, Action::Park);
        let alone = FaultFacts {
            single_threaded: true,
            ..main
        };
        for action in ["hold", "exit", "park"] {
            let decision = decide(&alone, &service(action));
            assert_eq!(decision.taken, Action::Deliver, "{action}");
            assert!(
                decision.reason.contains("only thread") || decision.reason.contains("main thread"),
                "{}",
                decision.reason
            );
        }
    }

    #[test]
    fn a_danger_forbids_all_that_it_does_not_allow() {
        let dangers = [Danger {
            what: "memory is likely corrupt (heap corruption)".to_owned(),
            allows: &[Action::Park],
        }];
        let corrupt = FaultFacts {
            dangers: &dangers,
            ..fault(SigNo::SEGV, 1)
        };
        let decision = decide(&corrupt, &service("exit,park"));
        assert_eq!(decision.taken, Action::Park);
        assert!(
            decision
                .reason
                .contains("exit is too dangerous: memory is likely corrupt (heap corruption)"),
            "{}",
            decision.reason
        );
        assert!(decision.evidence.contains(&dangers[0].what));
    }

    #[test]
    fn what_is_passed_over_for_one_reason_is_told_once() {
        let dangers = [Danger {
            what: "the house is on fire".to_owned(),
            allows: &[],
        }];
        let facts = FaultFacts {
            dangers: &dangers,
            ..fault(SigNo::SEGV, 1)
        };
        let decision = decide(&facts, &service("throw,suppress,exit,park"));
        assert_eq!(
            decision.reason,
            "on_fault asks for throw, suppress, exit, park: throw, exit and park are too dangerous: the house is on \
             fire; suppress is for signals that another process sent; SIGSEGV was raised by the instruction itself; so \
             SIGSEGV is delivered"
        );
    }

    #[test]
    fn another_signal_takes_the_place_of_one_that_was_raised_by_a_call() {
        let mut service = service("deliver");
        service.rules = vec![Rule {
            deliver_as: Some(SigNo::TERM),
            ..Rule::default()
        }];
        let abort = FaultFacts {
            raised_by_itself: true,
            ..fault(SigNo::ABRT, -6)
        };
        let decision = decide(&abort, &service);
        assert_eq!(
            (decision.taken, decision.deliver_as),
            (Action::Deliver, Some(SigNo::TERM))
        );
        assert_eq!(
            decision.reason,
            "service.rule #1 asks for deliver; SIGTERM is delivered in place of SIGABRT"
        );
        let decision = decide(&fault(SigNo::SEGV, 1), &service);
        assert_eq!(decision.deliver_as, None);
        assert!(
            decision.evidence[2].contains("would fault again"),
            "{:?}",
            decision.evidence
        );
    }

    #[test]
    fn a_thread_that_sleeps_exits_or_takes_its_signal() {
        let worker = Asleep {
            main_thread: false,
            single_threaded: false,
        };
        let mut first = Walk::begin(&fault(SigNo::SEGV, 1), &service("park"));
        assert_eq!(first.step(), Action::Park);
        let ordered = |thread, actions: &str| {
            let mut walk = first.ordered_asleep(thread, actions.parse().unwrap(), "an operator");
            let action = walk.step();
            (action, walk)
        };
        let (action, walk) = ordered(worker, "throw,park,exit");
        assert_eq!(action, Action::Exit);
        assert_eq!(
            walk.end().reason,
            "on_fault asks for park; an operator asks for throw, park, exit: throw and park are not for a parked \
             thread, which can only exit or be given its signal (deliver); so exit is taken"
        );
        let (action, walk) = ordered(worker, "deliver");
        assert_eq!((action, walk.is_at_its_end()), (Action::Deliver, false));
        for (main_thread, single_threaded, why) in [
            (true, false, "exit is not for the main thread"),
            (false, true, "exit is not for the only thread"),
        ] {
            let thread = Asleep {
                main_thread,
                single_threaded,
            };
            let (_, walk) = ordered(thread, "exit");
            assert!(walk.is_at_its_end());
            assert!(walk.obstacles().starts_with(why), "{}", walk.obstacles());
            let mut walk = Walk::of_sleeper(thread, "exit".parse().unwrap(), "an operator");
            walk.step();
            assert!(walk.is_at_its_end(), "by whomever it was parked");
        }
    }

    #[test]
    fn an_empty_ladder_delivers() {
        let service = Service {
            on_fault: Ladder(Vec::new()),
            ..Service::default()
        };
        let decision = decide(&fault(SigNo::SEGV, 1), &service);
        assert_eq!(decision.taken, Action::Deliver);
        assert_eq!(
            decision.reason,
            "on_fault asks for nothing; so SIGSEGV is delivered"
        );
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let ladder = prop::collection::vec(prop::sample::select(Action::ALL.to_vec()), 0..5);
        let signals = prop::collection::vec((1..=64).prop_map(SigNo), 0..3);
        (ladder, signals, prop::collection::vec("[a-z*?-]{0,6}", 0..3)).prop_map(
            |(actions, signals, threads)| Rule {
                action: Ladder(actions),
                signals,
                threads,
                ..Rule::default()
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_configured_the_thread_is_safe(
            rules in prop::collection::vec(any_rule(), 0..4),
            on_fault in prop::collection::vec(prop::sample::select(Action::ALL.to_vec()), 0..5),
            signal in 1..=64i32, code: i32, name in ".{0,15}", raised_by_itself: bool,
        ) {
            let service = Service { rules, on_fault: Ladder(on_fault), ..Service::default() };
            let facts = FaultFacts { thread_name: &name, raised_by_itself, ..fault(SigNo(signal), code) };
            let decision = decide(&facts, &service);
            if code > 0 || raised_by_itself {
                prop_assert_ne!(decision.taken, Action::Suppress);
            }
            prop_assert!(!decision.reason.is_empty());
        }
    }
}
