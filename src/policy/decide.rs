//! Which action a fault gets.

use super::matching::{Cause, FaultFacts, mismatch};
use crate::config::{Action, Ladder, Rule, Service};
use crate::sys::signal::code_name;

/// What is to be done about a fault, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What the configuration asked for, in its order.
    pub requested: Vec<Action>,
    /// What is done.
    pub taken: Action,
    /// Why, as a sentence.
    pub reason: String,
    /// What was looked at, one sentence each.
    pub evidence: Vec<String>,
    /// The rule that decided, as "service.rule #2 (/etc/sickbay/sickbay.toml:12)"; None if `on_fault` did.
    pub rule: Option<String>,
}

/// The action for this fault: the first rule that matches asks, else `on_fault`; the first action of its ladder
/// that can be taken is; when none can, the signal is delivered.
pub fn decide(facts: &FaultFacts<'_>, service: &Service) -> Decision {
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
    let (rule, asked) = match deciding {
        Some((label, rule)) => {
            if let Some(signal) = rule.deliver_as {
                evidence.push(format!(
                    "deliver_as {signal} of {label} is passed over: it is not available yet"
                ));
            }
            (Some(label), &rule.action)
        }
        None => (None, &service.on_fault),
    };
    let asker = match (&rule, service.rules.is_empty()) {
        (Some(label), _) => label.clone(),
        (None, true) => "on_fault".to_owned(),
        (None, false) => "no rule matches, and on_fault".to_owned(),
    };
    let (taken, reason) = choose(asked, facts, &asker);
    Decision {
        requested: asked.0.clone(),
        taken,
        reason,
        evidence,
        rule,
    }
}

/// The first action of the ladder that can be taken, with the sentence that explains it.
fn choose(ladder: &Ladder, facts: &FaultFacts<'_>, asker: &str) -> (Action, String) {
    let mut passed = Vec::new();
    for action in ladder.0.iter().copied() {
        match obstacle(action, facts) {
            Some(why) => passed.push(why),
            None => {
                let because = if passed.is_empty() {
                    String::new()
                } else {
                    format!(": {}", passed.join("; "))
                };
                let reason = match action {
                    Action::Suppress => {
                        format!(
                            "{asker} asks for {ladder}{because}; {} {}",
                            facts.signal,
                            facts.cause().words()
                        )
                    }
                    _ if passed.is_empty() => format!("{asker} asks for {ladder}"),
                    _ => format!("{asker} asks for {ladder}{because}; so {action} is taken"),
                };
                return (action, reason);
            }
        }
    }
    let because = if passed.is_empty() {
        "nothing".to_owned()
    } else {
        format!("{ladder}: {}", passed.join("; "))
    };
    (
        Action::Deliver,
        format!("{asker} asks for {because}; so {} is delivered", facts.signal),
    )
}

/// Why that action cannot be taken on this fault; None if it can.
fn obstacle(action: Action, facts: &FaultFacts<'_>) -> Option<String> {
    if !action.available() {
        return Some(format!("{action} is not available yet"));
    }
    match (action, facts.cause()) {
        (Action::Suppress, Cause::OtherProcess) => None,
        (Action::Suppress, cause) => Some(format!(
            "suppress is for signals that another process sent; {} {}",
            facts.signal,
            cause.words()
        )),
        _ => None,
    }
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
    vec![
        format!("{} {}, with si_code {code}", facts.signal, facts.cause().words()),
        format!("'{}' is {place}", facts.thread_name),
    ]
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
    use crate::sys::SigNo;

    fn fault(signal: SigNo, code: i32) -> FaultFacts<'static> {
        FaultFacts {
            signal,
            code,
            thread_name: "worker-117",
            main_thread: false,
            single_threaded: false,
            raised_by_itself: false,
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
    fn the_ladder_goes_on_past_what_is_not_available() {
        let decision = decide(&fault(SigNo::TERM, 0), &service("exit,suppress,deliver"));
        assert_eq!(decision.taken, Action::Suppress);
        assert!(
            decision
                .reason
                .contains("exit is not available yet; SIGTERM was sent"),
            "{}",
            decision.reason
        );
        let decision = decide(&fault(SigNo::SEGV, 1), &service("isolate"));
        assert_eq!(decision.taken, Action::Deliver);
        assert!(
            decision
                .reason
                .ends_with("park is not available yet; so deliver is taken"),
            "{}",
            decision.reason
        );
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
            prop_assert!(decision.taken.available());
            if code > 0 || raised_by_itself {
                prop_assert_ne!(decision.taken, Action::Suppress);
            }
            prop_assert!(!decision.reason.is_empty());
        }
    }
}
