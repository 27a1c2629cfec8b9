//! From the text of one file to the model: which key means what.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::document::{Document, Value};
use super::keys;
use super::problem::{Problem, Severity};
use super::{
    Cmdline, Config, Exits, Format, Ladder, Logs, Origin, ReportOptions, Rule, Service, Size, Span, Store,
    Target,
};
use crate::sys::SigNo;
use crate::sys::signal::DefaultAction;

/// The longest name of a service, in bytes: it becomes part of report ids and file names.
const MAX_NAME: usize = 64;
/// The longest thread name, in bytes: `TASK_COMM_LEN` of the kernel without its final zero.
const MAX_COMM: usize = 15;
/// The highest pid that a kernel can be configured to give out: `PID_MAX_LIMIT`.
const PID_MAX: i32 = 4_194_304;
/// The most that one capture may be allowed to hold.
const MAX_MEMORY: Size = Size::mib(4096);
/// The most reports a minute that may be asked for.
const MAX_PER_MINUTE: u32 = 10_000;
/// For how long a capture may be allowed to keep a process stopped: well below any watchdog.
const FREEZE_TIMEOUT: (Span, Span) = (Span::millis(1), Span::millis(10_000));

/// A configuration as it was read, with what is wrong in its files.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loaded {
    /// What could be understood; defaults stand in for the rest.
    pub config: Config,
    /// The files, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// What is wrong in them.
    pub problems: Vec<Problem>,
    /// Where each service is named.
    names: BTreeMap<String, Origin>,
}

impl Loaded {
    /// How many problems of that severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Adds what one file says: services join the others, other keys replace what earlier files said.
    pub(super) fn add(&mut self, file: &Path, text: &str) {
        let (mut document, top) = Document::parse(file, text);
        document.expect_keys(top.get_ref(), &keys::TOP);
        if let Some(table) = top
            .get_ref()
            .get("store")
            .and_then(|value| document.table(value, "store"))
        {
            store(&mut document, table, &mut self.config.store);
        }
        if let Some(value) = top.get_ref().get("service") {
            for (span, table) in document.tables(value, "service") {
                let service = service(&mut document, file, span, table, &mut self.names);
                self.config.services.push(service);
            }
        }
        self.files.push(file.to_owned());
        self.problems.extend(document.into_problems());
    }
}

/// Reads the text of one file; `file` only names it.
pub fn parse(file: &Path, text: &str) -> Loaded {
    let mut loaded = Loaded::default();
    loaded.add(file, text);
    loaded
}

fn store<'t>(document: &mut Document<'t>, table: &DeTable<'t>, store: &mut Store) {
    document.expect_keys(table, &keys::STORE);
    document.set(&mut store.state_dir, table, "state_dir", |document, value| {
        absolute(document, value).map(Some)
    });
}

fn service<'t>(
    document: &mut Document<'t>,
    file: &Path,
    span: Range<usize>,
    table: &DeTable<'t>,
    names: &mut BTreeMap<String, Origin>,
) -> Service {
    let mut service = Service::default();
    document.expect_keys(table, &keys::SERVICE);
    match table.get("name") {
        None => document.missing(
            span,
            "the service has no name",
            Some("add name = \"...\"".to_owned()),
        ),
        Some(value) => {
            if let Some(name) = name(document, value) {
                let origin = Origin {
                    file: file.to_owned(),
                    line: document.line(&value.span()),
                };
                if let Some(first) = names.get(&name) {
                    let message = format!("a service named '{name}' exists already, at {first}");
                    document.error(
                        value.span(),
                        message,
                        Some("give each service a name of its own".to_owned()),
                    );
                } else {
                    names.insert(name.clone(), origin);
                }
                service.name = name;
            }
        }
    }
    service.target = target(document, table);
    document.set(&mut service.children, table, "children", Document::boolean);
    document.set(&mut service.on_fault, table, "on_fault", ladder);
    document.set(
        &mut service.freeze_timeout,
        table,
        "freeze_timeout",
        |document, value| document.quantity(value, FREEZE_TIMEOUT.0..=FREEZE_TIMEOUT.1),
    );
    if let Some(value) = table.get("rule") {
        for (span, table) in document.tables(value, "service.rule") {
            let rule = rule(document, file, span, table);
            service.rules.push(rule);
        }
    }
    if let Some(table) = table
        .get("report")
        .and_then(|value| document.table(value, "service.report"))
    {
        report(document, table, &mut service.report);
    }
    if let Some((key, value)) = table.get_key_value("logs")
        && let Some(table) = document.table(value, "service.logs")
    {
        document.not_available(key.span(), "[service.logs]", "reports hold no log lines");
        logs(document, table, &mut service.logs);
    }
    service
}

/// A name that can stand in file names and on command lines.
fn name(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let name = document.string(value)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if name.len() > MAX_NAME || !name.chars().all(allowed) || name.starts_with(['-', '.']) {
        let message = format!("'{}' cannot name a service", name.escape_debug());
        let hint = format!("use at most {MAX_NAME} letters, digits and . _ @ -, the first a letter or digit");
        document.error(value.span(), message, Some(hint));
        return None;
    }
    Some(name)
}

/// The one target of a service.
fn target<'t>(document: &mut Document<'t>, table: &DeTable<'t>) -> Option<Target> {
    let mut found: Option<Target> = None;
    let mut first: Option<&str> = None;
    let mut given: Vec<_> = table
        .iter()
        .filter(|(key, _)| Target::KEYS.contains(&key.get_ref().as_ref()))
        .collect();
    given.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in given {
        if let Some(first) = first {
            let message = format!("a service has one target, and this one has '{first}' already");
            document.error(key.span(), message, Some("make it two services".to_owned()));
            continue;
        }
        first = Some(key.get_ref().as_ref());
        found = match key.get_ref().as_ref() {
            "unit" => document.string(value).map(Target::Unit),
            "cgroup" => document.string(value).map(Target::Cgroup),
            "pid" => document.integer(value, 1..=PID_MAX).map(Target::Pid),
            "pid_file" => absolute(document, value).map(Target::PidFile),
            "exe" => absolute(document, value).map(Target::Exe),
            _ => document.string(value).map(Target::Command),
        };
        if let Some(target) = found.as_ref().filter(|target| !target.available()) {
            let what = format!("'{}' as a target", target.key());
            document.not_available(
                key.span(),
                what,
                "use pid, or 'sickbay run' and 'sickbay attach' with --name",
            );
        }
    }
    found
}

fn rule<'t>(document: &mut Document<'t>, file: &Path, span: Range<usize>, table: &DeTable<'t>) -> Rule {
    document.expect_keys(table, &keys::RULE);
    let line = document.line(&span);
    let mut rule = Rule {
        origin: Some(Origin {
            file: file.to_owned(),
            line,
        }),
        ..Rule::default()
    };
    document.set(&mut rule.signals, table, "signals", |document, value| {
        document.one_or_more(value, fault_signal)
    });
    document.set(&mut rule.threads, table, "threads", |document, value| {
        document.one_or_more(value, thread_pattern)
    });
    document.set(&mut rule.modules, table, "module", |document, value| {
        document.not_available(
            value.span(),
            "'module' in a rule",
            "a rule with it matches nothing",
        );
        document.one_or_more(value, Document::string)
    });
    document.set(&mut rule.action, table, "action", ladder);
    document.set(&mut rule.deliver_as, table, "deliver_as", |document, value| {
        document.not_available(value.span(), "'deliver_as'", "the signal itself is delivered");
        signal(document, value).map(Some)
    });
    if !table.contains_key("action") && !table.contains_key("deliver_as") {
        document.missing(
            span,
            "the rule has no action",
            Some("add action = \"deliver\"".to_owned()),
        );
    }
    rule
}

fn report<'t>(document: &mut Document<'t>, table: &DeTable<'t>, report: &mut ReportOptions) {
    document.expect_keys(table, &keys::REPORT);
    document.set(&mut report.formats, table, "formats", |document, value| {
        document.list(value, format)
    });
    document.set(
        &mut report.environment,
        table,
        "environment",
        |document, value| document.list(value, variable_pattern),
    );
    document.set(&mut report.cmdline, table, "cmdline", cmdline);
    document.set(&mut report.files, table, "files", Document::boolean);
    for (slot, key) in [
        (&mut report.thread_stack, "thread_stack"),
        (&mut report.fault_stack, "fault_stack"),
        (&mut report.memory, "memory"),
    ] {
        document.set(slot, table, key, |document, value| {
            document.quantity(value, Size(0)..=MAX_MEMORY)
        });
    }
    document.set(
        &mut report.max_per_minute,
        table,
        "max_per_minute",
        |document, value| document.integer(value, 0..=MAX_PER_MINUTE),
    );
    document.set(&mut report.exits, table, "exits", |document, value| {
        let words = [
            ("signals", Exits::Signals),
            ("failures", Exits::Failures),
            ("none", Exits::None),
        ];
        document.word(value, "kind of exits", &words)
    });
}

fn logs<'t>(document: &mut Document<'t>, table: &DeTable<'t>, logs: &mut Logs) {
    document.expect_keys(table, &keys::LOGS);
    document.set(&mut logs.journal, table, "journal", Document::boolean);
    document.set(&mut logs.files, table, "files", |document, value| {
        document.list(value, Document::string)
    });
}

/// An action, or a list of actions in the order in which they are tried.
fn ladder<'t>(document: &mut Document<'t>, value: &Value<'t>) -> Option<Ladder> {
    if matches!(value.get_ref(), DeValue::Array(steps) if steps.is_empty()) {
        document.error(
            value.span(),
            "the list of actions is empty",
            Some("add \"deliver\"".to_owned()),
        );
        return None;
    }
    let steps = document.one_or_more(value, step)?;
    Some(Ladder(steps.into_iter().flat_map(|step| step.0).collect()))
}

/// One word of a ladder.
fn step(document: &mut Document<'_>, value: &Value<'_>) -> Option<Ladder> {
    let word = document.string(value)?;
    let step = Ladder::from_word(&word);
    match &step {
        None => {
            let words: Vec<&str> = Ladder::words().collect();
            document.unknown(value, "action", &word, words);
        }
        Some(step) if step.unavailable().next().is_some() => {
            document.not_available(value.span(), format!("action '{word}'"), "it is passed over");
        }
        Some(_) => {}
    }
    step
}

fn signal(document: &mut Document<'_>, value: &Value<'_>) -> Option<SigNo> {
    let name = document.string(value)?;
    let signal = SigNo::from_name(&name);
    if signal.is_none() {
        let known: Vec<&str> = SigNo::standard_names().collect();
        document.unknown(value, "signal", &name, known);
    }
    signal
}

/// A signal that can be a fault.
fn fault_signal(document: &mut Document<'_>, value: &Value<'_>) -> Option<SigNo> {
    let signal = signal(document, value)?;
    if signal == SigNo::KILL {
        let hint = "see 'exits' in [service.report]".to_owned();
        document.warning(value.span(), "no rule ever sees SIGKILL", Some(hint));
    } else if !matches!(
        signal.default_action(),
        DefaultAction::Core | DefaultAction::Terminate
    ) {
        document.warning(
            value.span(),
            format!("{signal} ends no process, so no rule ever sees it"),
            None,
        );
    }
    Some(signal)
}

fn thread_pattern(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let pattern = document.string(value)?;
    if pattern.bytes().filter(|byte| *byte != b'*').count() > MAX_COMM {
        let message =
            format!("'{pattern}' matches nothing: the kernel cuts thread names to {MAX_COMM} bytes");
        document.warning(value.span(), message, None);
    }
    Some(pattern)
}

fn variable_pattern(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let pattern = document.string(value)?;
    if pattern.chars().all(|c| c == '*') {
        document.warning(value.span(), "every variable is recorded, secrets included", None);
    }
    Some(pattern)
}

fn format(document: &mut Document<'_>, value: &Value<'_>) -> Option<Format> {
    let words = Format::ALL.map(|format| (format.name(), format));
    let format = document.word(value, "format", &words)?;
    if !format.available() {
        document.not_available(value.span(), format!("format '{format}'"), "it is not written");
    }
    Some(format)
}

fn cmdline(document: &mut Document<'_>, value: &Value<'_>) -> Option<Cmdline> {
    match value.get_ref() {
        DeValue::Boolean(true) => Some(Cmdline::Full),
        DeValue::Boolean(false) => Some(Cmdline::Off),
        DeValue::String(text) if text == "mask" => Some(Cmdline::Mask),
        _ => document.wrong_type(value, "true, false or \"mask\""),
    }
}

fn absolute(document: &mut Document<'_>, value: &Value<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(document.string(value)?);
    if path.is_absolute() {
        return Some(path);
    }
    let message = format!("'{}' is not an absolute path", path.display());
    document.error(value.span(), message, Some("begin it with /".to_owned()));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Action;

    /// What `check` would print, with `f` for the file.
    fn problems(text: &str) -> Vec<String> {
        parse(Path::new("f"), text)
            .problems
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn nothing_configured_is_valid() {
        for text in ["", "\n# only a comment\n", "\u{feff}"] {
            let loaded = parse(Path::new("f"), text);
            assert_eq!(
                (loaded.config, loaded.problems),
                (Config::default(), vec![]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_key_reaches_the_model() {
        let text = r#"
            [store]
            state_dir = "/srv/sickbay"
            [[service]]
            name = "api"
            pid = 812
            children = false
            on_fault = ["suppress", "report"]
            freeze_timeout = "250ms"
            [[service.rule]]
            signals = ["SIGSEGV", "bus"]
            threads = "worker-*"
            action = "deliver"
            [[service.rule]]
            threads = ["io", "net-?"]
            action = ["suppress"]
            [service.report]
            formats = ["json"]
            environment = ["PATH"]
            cmdline = "mask"
            files = false
            thread_stack = "16KiB"
            fault_stack = "2MiB"
            memory = "32MiB"
            max_per_minute = 5
            exits = "failures"
        "#;
        let Loaded { config, problems, .. } = parse(Path::new("/etc/f.toml"), text);
        assert_eq!(problems, []);
        let origin = |line| {
            Some(Origin {
                file: "/etc/f.toml".into(),
                line,
            })
        };
        let expected = Service {
            name: "api".into(),
            target: Some(Target::Pid(812)),
            children: false,
            on_fault: Ladder(vec![Action::Suppress, Action::Deliver]),
            freeze_timeout: Span::millis(250),
            rules: vec![
                Rule {
                    signals: vec![SigNo::SEGV, SigNo::BUS],
                    threads: vec!["worker-*".into()],
                    origin: origin(10),
                    ..Rule::default()
                },
                Rule {
                    threads: vec!["io".into(), "net-?".into()],
                    action: Ladder(vec![Action::Suppress]),
                    origin: origin(14),
                    ..Rule::default()
                },
            ],
            report: ReportOptions {
                formats: vec![Format::Json],
                environment: vec!["PATH".into()],
                cmdline: Cmdline::Mask,
                files: false,
                thread_stack: Size::kib(16),
                fault_stack: Size::mib(2),
                memory: Size::mib(32),
                max_per_minute: 5,
                exits: Exits::Failures,
            },
            logs: Logs::default(),
        };
        let store = Store {
            state_dir: Some("/srv/sickbay".into()),
        };
        assert_eq!(
            config,
            Config {
                store,
                services: vec![expected]
            }
        );
    }

    #[test]
    fn all_errors_are_found_at_once_each_with_its_place() {
        let text = "\
[stroe]
[store]
state_dir = \"relative\"
[[service]]
name = \"api\"
pid = 812
unit = \"api.service\"
childern = true
on_fault = \"delivr\"
freeze_timeout = 100
formats = [\"json\"]
[[service.rule]]
signals = [\"SIGSEGV\", \"SIGSEV\"]
threads = 3
action = []
[service.report]
thread_stack = \"64\"
files = \"yes\"
max_per_minute = -1
cmdline = 1
exits = \"all\"
[[service]]
name = \"api\"
";
        assert_eq!(
            problems(text),
            [
                "f:1:2: error: unknown key 'stroe' in the file; did you mean 'store'?",
                "f:3:13: error: 'relative' is not an absolute path; begin it with /",
                "f:7:1: error: a service has one target, and this one has 'pid' already; make it two services",
                "f:8:1: error: unknown key 'childern' in [[service]]; did you mean 'children'?",
                "f:9:12: error: unknown action 'delivr'; did you mean 'deliver'?",
                "f:10:18: error: '100' has no unit; write for example \"5s\"",
                "f:11:1: error: unknown key 'formats' in [[service]]; it belongs to [service.report]",
                "f:13:23: error: unknown signal 'SIGSEV'; did you mean 'SIGSEGV'?",
                "f:14:11: error: expected a text in quotes, found an integer",
                "f:15:10: error: the list of actions is empty; add \"deliver\"",
                "f:17:16: error: '64' has no unit; write for example \"64KiB\"",
                "f:18:9: error: expected true or false, found a string",
                "f:19:18: error: the value must be from 0 to 10000",
                "f:20:11: error: expected true, false or \"mask\", found an integer",
                "f:21:9: error: unknown kind of exits 'all'; known are signals, failures, none",
                "f:23:8: error: a service named 'api' exists already, at f:5; give each service a name of its own",
            ]
        );
    }

    #[test]
    fn what_is_known_but_not_built_is_a_warning() {
        let text = "\
[[service]]
name = \"api\"
unit = \"api.service\"
on_fault = \"isolate\"
[[service.rule]]
signals = [\"SIGKILL\", \"SIGCHLD\"]
threads = \"a-thread-name-that-is-long\"
module = \"libplugin*.so\"
deliver_as = \"SIGTERM\"
[service.logs]
journal = true
[service.report]
formats = [\"json\", \"core\"]
environment = [\"*\"]
";
        let loaded = parse(Path::new("f"), text);
        assert!(!loaded.has_errors());
        let shown: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "f:3:1: warning: 'unit' as a target is not available yet; \
                 use pid, or 'sickbay run' and 'sickbay attach' with --name",
                "f:4:12: warning: action 'isolate' is not available yet; it is passed over",
                "f:6:12: warning: no rule ever sees SIGKILL; see 'exits' in [service.report]",
                "f:6:23: warning: SIGCHLD ends no process, so no rule ever sees it",
                "f:7:11: warning: 'a-thread-name-that-is-long' matches nothing: \
                 the kernel cuts thread names to 15 bytes",
                "f:8:10: warning: 'module' in a rule is not available yet; a rule with it matches nothing",
                "f:9:14: warning: 'deliver_as' is not available yet; the signal itself is delivered",
                "f:10:10: warning: [service.logs] is not available yet; reports hold no log lines",
                "f:13:20: warning: format 'core' is not available yet; it is not written",
                "f:14:16: warning: every variable is recorded, secrets included",
            ]
        );
    }

    #[test]
    fn what_is_absent_is_said_where_it_should_be() {
        assert_eq!(
            problems("[[service]]\npid = 1\n[[service.rule]]\nsignals = \"SIGBUS\"\n"),
            [
                "f:1:1: error: the service has no name; add name = \"...\"",
                "f:3:1: error: the rule has no action; add action = \"deliver\"",
            ]
        );
    }

    #[test]
    fn a_table_is_not_taken_for_a_list_of_tables() {
        assert_eq!(
            problems("[service]\nname = \"api\"\n"),
            ["f:1:1: error: expected a list of tables, [[service]], found a table"]
        );
        assert_eq!(
            problems("service = [1]\n"),
            ["f:1:12: error: expected a list of tables, [[service]], found an integer"]
        );
        assert_eq!(
            problems("[[store]]\n"),
            ["f:1:1: error: expected one table, [store], found an array"]
        );
    }

    #[test]
    fn broken_syntax_does_not_hide_the_rest() {
        let found = problems("[[service]]\nname = \"api\npid = 812\ncolour = 3\n");
        assert!(
            found.iter().any(|problem| problem.starts_with("f:2:")),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|problem| problem.contains("unknown key 'colour'")),
            "{found:?}"
        );
        assert!(
            !found.iter().any(|problem| problem.contains("has no name")),
            "{found:?}"
        );
        assert!(
            problems("name = = 3")
                .iter()
                .all(|problem| problem.starts_with("f:1:"))
        );
    }

    #[test]
    fn names_of_services_are_fit_for_file_names() {
        for good in ["api", "api@1.service", "A_b-c"] {
            assert_eq!(
                problems(&format!("[[service]]\nname = \"{good}\"")),
                [""; 0],
                "{good}"
            );
        }
        for bad in ["..", "a/b", "-v", "a b", "\\u001b[1m", &"x".repeat(65)] {
            let found = problems(&format!("[[service]]\nname = \"{bad}\""));
            assert!(
                found.len() == 1 && found[0].contains("cannot name a service"),
                "{bad}: {found:?}"
            );
            assert!(!found[0].contains('\u{1b}'));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "([\\[\\]a-z_\"'=#0-9.{}, \n]|service|name|rule|report|SIGSEGV|\\PC){0,60}") {
            for problem in parse(Path::new("f"), &text).problems {
                proptest::prop_assert!(problem.line >= 1 && problem.column >= 1);
            }
        }
    }
}
