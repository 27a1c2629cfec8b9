//! From the text of one file to the model: which key means what.

mod service;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::document::{Document, Value};
use super::problem::{Problem, Severity};
use super::{Config, Origin, Store, bounds, keys, show};

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
    /// Where each key is written, of those that several files say the last.
    pub(super) origins: show::Origins,
}

/// A configuration with errors, displayed on one line: each message of ours is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unusable(pub Vec<Problem>);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")?;
        let mut separator = ':';
        self.0.iter().try_for_each(|problem| {
            write!(f, "{separator} {problem}")?;
            separator = ';';
            Ok(())
        })
    }
}

impl std::error::Error for Unusable {}

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

    /// The configuration, with its warnings for the caller to show.
    ///
    /// # Errors
    ///
    /// [`Unusable`] with every error, if there is one.
    pub fn accept(self) -> Result<(Config, Vec<Problem>), Unusable> {
        if self.has_errors() {
            let errors = self
                .problems
                .into_iter()
                .filter(|problem| problem.severity == Severity::Error);
            return Err(Unusable(errors.collect()));
        }
        Ok((self.config, self.problems))
    }

    /// The same, with unknown keys for warnings: for a service that must go on when it meets a key of a later
    /// version.
    ///
    /// # Errors
    ///
    /// [`Unusable`] with every other error.
    pub fn accept_known(mut self) -> Result<(Config, Vec<Problem>), Unusable> {
        for problem in self.problems.iter_mut().filter(|problem| problem.unknown_key) {
            problem.severity = Severity::Warning;
        }
        self.accept()
    }

    /// Adds what one file says: services join the others, other keys replace what earlier files said.
    pub(super) fn add(&mut self, file: &Path, text: &str) {
        let (mut document, top) = Document::parse(file, text);
        document.expect_keys(top.get_ref(), &keys::TOP);
        show::note_origins(
            &document,
            top.get_ref(),
            self.config.services.len(),
            &mut self.origins,
        );
        if let Some(table) = top
            .get_ref()
            .get("store")
            .and_then(|value| document.table(value, "store"))
        {
            store(&mut document, table, &mut self.config.store);
        }
        if let Some(value) = top.get_ref().get("service") {
            for (span, table) in document.tables(value, "service") {
                let service = service::service(&mut document, span, table, &mut self.names);
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
        values::absolute(document, value).map(Some)
    });
    let retention = &mut store.retention;
    let size = |document: &mut Document<'t>, value: &Value<'t>| document.quantity(value, bounds::STORE_SIZES);
    document.set(&mut retention.max_size, table, "max_size", size);
    document.set(&mut retention.keep_free, table, "keep_free", size);
    document.set(&mut retention.max_age, table, "max_age", |document, value| {
        document.quantity(value, bounds::AGES)
    });
    document.set(&mut retention.service_max_size, table, "service_max_size", size);
    let reports = &mut retention.service_max_reports;
    document.set(reports, table, "service_max_reports", |document, value| {
        document.integer(value, 0..=bounds::REPORTS_KEPT)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Action, Cmdline, CoreExtent, DontDump, Exits, Format, Isolation, Ladder, Logs, OnStopRate,
        ReportOptions, Retention, Rule, Service, Size, Span, Target,
    };
    use crate::sys::SigNo;

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
            max_size = "2GiB"
            keep_free = "0B"
            max_age = "30d"
            service_max_size = "500MiB"
            service_max_reports = 50
            [[service]]
            name = "api"
            pid = 812
            children = false
            on_fault = ["suppress", "report"]
            freeze_timeout = "250ms"
            stop_rate = 5000
            on_stop_rate = "release"
            [[service.rule]]
            signals = ["SIGSEGV", "bus"]
            threads = "worker-*"
            module = "libplugin*.so"
            function = ["parse_*", "render"]
            cause = "null *"
            action = "deliver"
            deliver_as = "SIGTERM"
            [[service.rule]]
            threads = ["io", "net-?"]
            action = ["suppress"]
            [service.isolation]
            probation = "2s"
            threads_per_group = 2
            threads_per_process = 7
            throws_per_second = 2000
            shutdown = true
            [[service.rescue]]
            caller_function = "dispatch"
            return = -1
            [service.report]
            formats = ["json"]
            core = "full"
            core_limit = "2GiB"
            dump_interval = "90s"
            dontdump = "always"
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
            stop_rate: 5000,
            on_stop_rate: OnStopRate::Release,
            rules: vec![
                Rule {
                    signals: vec![SigNo::SEGV, SigNo::BUS],
                    threads: vec!["worker-*".into()],
                    modules: vec!["libplugin*.so".into()],
                    functions: vec!["parse_*".into(), "render".into()],
                    causes: vec!["null *".into()],
                    deliver_as: Some(SigNo::TERM),
                    origin: origin(17),
                    ..Rule::default()
                },
                Rule {
                    threads: vec!["io".into(), "net-?".into()],
                    action: Ladder(vec![Action::Suppress]),
                    origin: origin(25),
                    ..Rule::default()
                },
            ],
            isolation: Isolation {
                probation: Span::millis(2000),
                threads_per_group: 2,
                threads_per_process: 7,
                throws_per_second: 2000,
                shutdown: true,
            },
            rescues: vec![crate::config::Rescue {
                functions: vec!["dispatch".into()],
                value: -1,
                ..crate::config::Rescue::default()
            }],
            report: ReportOptions {
                formats: vec![Format::Json],
                core: CoreExtent::Full,
                core_limit: Size::gib(2),
                dump_interval: Span::millis(90_000),
                dontdump: DontDump::Always,
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
            retention: Retention {
                max_size: Size::mib(2048),
                keep_free: Size(0),
                max_age: Span::days(30),
                service_max_size: Size::mib(500),
                service_max_reports: 50,
            },
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
    fn what_has_no_effect_is_a_warning() {
        let text = "\
[[service]]
name = \"api\"
unit = \"api.service\"
on_fault = \"skip\"
[[service.rule]]
signals = [\"SIGKILL\", \"SIGCHLD\"]
threads = \"a-thread-name-that-is-long\"
action = \"deliver\"
[service.logs]
journal = true
[service.report]
formats = [\"json\", \"html\"]
environment = [\"*\"]
";
        let loaded = parse(Path::new("f"), text);
        assert!(!loaded.has_errors());
        let shown: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "f:6:12: warning: no rule ever sees SIGKILL; see 'exits' in [service.report]",
                "f:6:23: warning: SIGCHLD ends no process, so no rule ever sees it",
                "f:7:11: warning: 'a-thread-name-that-is-long' matches nothing: \
                 the kernel cuts thread names to 15 bytes",
                "f:13:16: warning: every variable is recorded, secrets included",
            ]
        );
    }

    #[test]
    fn only_errors_make_a_configuration_unusable() {
        let text =
            "[[service]]\nname = \"api\"\n[[service.rule]]\nsignals = \"SIGKILL\"\naction = \"deliver\"\n";
        let (config, warnings) = parse(Path::new("f"), text).accept().unwrap();
        assert_eq!((config.services.len(), warnings.len()), (1, 1));
        let unusable = parse(Path::new("f"), &format!("{text}x = 1\n"))
            .accept()
            .unwrap_err();
        let shown = unusable.to_string();
        assert!(
            shown.starts_with("the configuration cannot be used: f:6:1: error: unknown key 'x'"),
            "{shown}"
        );
        assert!(!shown.contains("warning"), "{shown}");
    }

    #[test]
    fn an_unknown_key_stops_nobody_who_must_go_on() {
        let text = "[[service]]\nname = \"api\"\ncolour = 3\n";
        let (config, warnings) = parse(Path::new("f"), text).accept_known().unwrap();
        assert_eq!((config.services.len(), warnings.len()), (1, 1));
        assert!(
            warnings[0]
                .to_string()
                .starts_with("f:3:1: warning: unknown key 'colour'")
        );
        assert!(
            parse(Path::new("f"), &format!("{text}pid = 0\n"))
                .accept_known()
                .is_err()
        );
    }

    #[test]
    fn a_pattern_must_be_a_regular_expression() {
        let found = problems("[[service]]\nname = \"api\"\ncommand = \"api(\"\n");
        assert!(
            found[0].starts_with("f:3:11: error: 'api(' is not a regular expression: "),
            "{found:?}"
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
