//! The configuration that holds, as a file would say it: every key with its value, and where that is written.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::{
    Cmdline, Config, Isolation, Loaded, Logs, Origin, ReportOptions, Rescue, Retention, Rule, Service, Store,
    Target, keys,
};

/// One key with its value.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Setting {
    /// Where it belongs, for example `service.api.report`.
    pub section: String,
    /// Its name there.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
    /// Where it is written. None: it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Where the keys of all files are written, by section and key: `service.0.report.core`.
pub(super) type Origins = BTreeMap<String, Origin>;

type Settings = Vec<(&'static str, Option<Value>)>;

/// A table of the file that would say the same.
struct Block {
    header: &'static str,
    /// Where its keys are among the origins.
    place: String,
    /// The same with the service's name.
    section: String,
    settings: Settings,
}

/// Every key that has a value.
pub fn settings(loaded: &Loaded) -> Vec<Setting> {
    let mut settings = Vec::new();
    for block in blocks(&loaded.config) {
        let given = block.settings.into_iter();
        settings.extend(given.filter_map(|(key, value)| {
            Some(Setting {
                origin: loaded.origins.get(&format!("{}.{key}", block.place)).cloned(),
                section: block.section.clone(),
                key,
                value: value?,
            })
        }));
    }
    settings
}

/// The text of one file that says the same; with the origin of each value behind it, if asked for.
pub fn text(loaded: &Loaded, with_origins: bool) -> String {
    let mut text = String::new();
    for block in blocks(&loaded.config) {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{gap}{}", block.header);
        for (key, value) in block.settings {
            let Some(value) = value else { continue };
            let line = format!("{key} = {value}");
            let origin = loaded.origins.get(&format!("{}.{key}", block.place));
            let _ = match (with_origins, origin) {
                (false, _) => writeln!(text, "{line}"),
                (true, Some(origin)) => writeln!(text, "{line:<40}  # {origin}"),
                (true, None) => writeln!(text, "{line:<40}  # default"),
            };
        }
    }
    text
}

/// The default of each key that has one, with the title of its section.
pub(super) fn defaults() -> Vec<(&'static str, &'static str, Value)> {
    let config = Config {
        services: vec![Service::default()],
        ..Config::default()
    };
    let of_block = |block: Block| {
        let given = block.settings.into_iter().filter(|(key, _)| *key != "name");
        given
            .filter_map(|(key, value)| Some((block.header, key, value?)))
            .collect::<Vec<_>>()
    };
    blocks(&config).into_iter().flat_map(of_block).collect()
}

/// Notes where the keys of a table are written. `services` have been read from earlier files.
pub(super) fn note_origins(
    document: &Document<'_>,
    table: &DeTable<'_>,
    services: usize,
    origins: &mut Origins,
) {
    let mut tables = vec![(String::new(), table)];
    while let Some((place, table)) = tables.pop() {
        for (key, value) in table.iter() {
            let name = key.get_ref();
            let place = format!("{place}{name}");
            let before = if place == "service" { services } else { 0 };
            match value.get_ref() {
                DeValue::Table(table) => tables.push((format!("{place}."), table)),
                DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                    for (number, item) in items.iter().enumerate() {
                        if let DeValue::Table(table) = item.get_ref() {
                            tables.push((format!("{place}.{}.", before + number), table));
                        }
                    }
                }
                _ => drop(origins.insert(place, document.origin(&key.span()))),
            }
        }
    }
}

fn blocks(config: &Config) -> Vec<Block> {
    let mut blocks = vec![Block {
        header: keys::STORE.title,
        place: "store".to_owned(),
        section: "store".to_owned(),
        settings: store(&config.store),
    }];
    for (number, service) in config.services.iter().enumerate() {
        let mut add = |header, below: &str, settings| {
            blocks.push(Block {
                header,
                place: format!("service.{number}{below}"),
                section: format!("service.{}{below}", service.name),
                settings,
            });
        };
        add(keys::SERVICE.title, "", own(service));
        for (number, one) in service.rules.iter().enumerate() {
            add(keys::RULE.title, &format!(".rule.{number}"), rule(one));
        }
        add(keys::ISOLATION.title, ".isolation", isolation(&service.isolation));
        for (number, one) in service.rescues.iter().enumerate() {
            add(keys::RESCUE.title, &format!(".rescue.{number}"), rescue(one));
        }
        add(keys::REPORT.title, ".report", report(&service.report));
        add(keys::LOGS.title, ".logs", logs(&service.logs));
    }
    blocks
}

fn store(store: &Store) -> Settings {
    let Store { state_dir, retention } = store;
    let Retention {
        max_size,
        keep_free,
        max_age,
        service_max_size,
        service_max_reports,
    } = retention;
    vec![
        ("state_dir", state_dir.as_ref().and_then(word)),
        ("max_size", shown(max_size)),
        ("keep_free", shown(keep_free)),
        ("max_age", shown(max_age)),
        ("service_max_size", shown(service_max_size)),
        ("service_max_reports", word(service_max_reports)),
    ]
}

fn own(service: &Service) -> Settings {
    let mut settings = vec![("name", word(&service.name))];
    if let Some(target) = &service.target {
        settings.push((target.key(), target_of(target)));
    }
    settings.extend([
        ("children", word(&service.children)),
        ("on_fault", word(&service.on_fault)),
        ("freeze_timeout", shown(&service.freeze_timeout)),
        ("stop_rate", word(&service.stop_rate)),
        ("on_stop_rate", word(&service.on_stop_rate)),
    ]);
    settings
}

fn rule(rule: &Rule) -> Settings {
    let signals: Vec<String> = rule.signals.iter().map(ToString::to_string).collect();
    vec![
        ("signals", list(&signals)),
        ("threads", list(&rule.threads)),
        ("module", list(&rule.modules)),
        ("function", list(&rule.functions)),
        ("cause", list(&rule.causes)),
        ("action", word(&rule.action)),
        ("deliver_as", rule.deliver_as.as_ref().and_then(shown)),
    ]
}

fn isolation(isolation: &Isolation) -> Settings {
    vec![
        ("probation", shown(&isolation.probation)),
        ("threads_per_group", word(&isolation.threads_per_group)),
        ("threads_per_process", word(&isolation.threads_per_process)),
        ("throws_per_second", word(&isolation.throws_per_second)),
        ("shutdown", word(&isolation.shutdown)),
    ]
}

fn rescue(rescue: &Rescue) -> Settings {
    vec![
        ("caller_module", list(&rescue.modules)),
        ("caller_function", list(&rescue.functions)),
        ("return", word(&rescue.value)),
    ]
}

fn report(report: &ReportOptions) -> Settings {
    let cmdline = match report.cmdline {
        Cmdline::Full => Value::Boolean(true),
        Cmdline::Off => Value::Boolean(false),
        Cmdline::Mask => Value::String("mask".to_owned()),
    };
    vec![
        ("formats", word(&report.formats)),
        ("core", word(&report.core)),
        ("core_limit", shown(&report.core_limit)),
        ("dump_interval", shown(&report.dump_interval)),
        ("dontdump", word(&report.dontdump)),
        ("environment", word(&report.environment)),
        ("cmdline", Some(cmdline)),
        ("files", word(&report.files)),
        ("thread_stack", shown(&report.thread_stack)),
        ("fault_stack", shown(&report.fault_stack)),
        ("memory", shown(&report.memory)),
        ("max_per_minute", word(&report.max_per_minute)),
        ("exits", word(&report.exits)),
    ]
}

fn logs(logs: &Logs) -> Settings {
    vec![("journal", word(&logs.journal)), ("files", word(&logs.files))]
}

fn target_of(target: &Target) -> Option<Value> {
    match target {
        Target::Unit(name) | Target::Cgroup(name) | Target::Command(name) => word(name),
        Target::Pid(pid) => word(pid),
        Target::PidFile(path) | Target::Exe(path) => word(path),
    }
}

/// A value that is written in a file as it is in a message between the processes.
fn word(value: &(impl Serialize + ?Sized)) -> Option<Value> {
    Value::try_from(value).ok()
}

/// A value that is written in a file as people read it.
fn shown(value: &impl ToString) -> Option<Value> {
    Some(Value::String(value.to_string()))
}

/// A list that says nothing while it is empty.
fn list(values: &[String]) -> Option<Value> {
    (!values.is_empty()).then(|| word(values)).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::{Problem, parse};

    const FULL: &str = r#"
[store]
state_dir = "/srv/x"
max_size = "2GiB"
[[service]]
name = "api"
unit = "api.service"
on_fault = ["throw", "exit"]
[[service.rule]]
signals = ["SIGSEGV", "SIGRTMIN+3"]
threads = 'a "quoted" \*'
module = "m"
function = "f"
cause = "c"
action = "suppress"
deliver_as = "SIGTERM"
[[service.rescue]]
caller_module = "libloop.so*"
caller_function = ["dispatch", "poll_*"]
return = -1
[service.report]
cmdline = "mask"
core = "full"
[[service]]
name = "web"
pid_file = "/run/web.pid"
"#;

    fn loaded(text: &str) -> Loaded {
        let loaded = parse(Path::new("/etc/f.toml"), text);
        let errors: Vec<&Problem> = loaded.problems.iter().collect();
        assert!(errors.is_empty(), "{errors:?}");
        loaded
    }

    #[test]
    fn what_is_shown_says_the_same_as_the_files() {
        let without_origins = |mut config: Config| {
            let services = config.services.iter_mut();
            services
                .flat_map(|service| &mut service.rules)
                .for_each(|rule| rule.origin = None);
            config
        };
        let first = loaded(FULL);
        for with_origins in [false, true] {
            let text = text(&first, with_origins);
            let second = without_origins(loaded(&text).config);
            assert_eq!(second, without_origins(first.config.clone()), "{text}");
        }
    }

    #[test]
    fn each_value_has_its_origin() {
        let mut loaded = loaded(FULL);
        loaded.add(
            Path::new("/etc/g.toml"),
            "[store]\nmax_size = \"3GiB\"\n[[service]]\nname = \"db\"\n",
        );
        let settings = settings(&loaded);
        let origin = |section: &str, key: &str| {
            let setting = settings
                .iter()
                .find(|setting| setting.section == section && setting.key == key);
            let origin = setting
                .unwrap_or_else(|| panic!("no {section}.{key}"))
                .origin
                .as_ref();
            origin.map_or("default".to_owned(), ToString::to_string)
        };
        assert_eq!(origin("store", "state_dir"), "/etc/f.toml:3");
        assert_eq!(origin("store", "max_size"), "/etc/g.toml:2");
        assert_eq!(origin("store", "max_age"), "default");
        assert_eq!(origin("service.api", "on_fault"), "/etc/f.toml:8");
        assert_eq!(origin("service.api.rule.0", "cause"), "/etc/f.toml:14");
        assert_eq!(origin("service.api.rescue.0", "return"), "/etc/f.toml:20");
        assert_eq!(origin("service.api.report", "core"), "/etc/f.toml:23");
        assert_eq!(origin("service.web", "pid_file"), "/etc/f.toml:26");
        assert_eq!(origin("service.web.report", "core"), "default");
        assert_eq!(origin("service.db", "name"), "/etc/g.toml:4");
        let text = text(&loaded, true);
        let line = text.lines().find(|line| line.starts_with("max_size")).unwrap();
        assert_eq!(line.split_whitespace().last(), Some("/etc/g.toml:2"));
    }

    #[test]
    fn every_key_is_shown() {
        let loaded = loaded(FULL);
        let blocks = blocks(&loaded.config);
        for section in keys::ALL
            .iter()
            .filter(|section| section.title != keys::TOP.title)
        {
            let block = blocks.iter().find(|block| block.header == section.title).unwrap();
            let shown: BTreeSet<&str> = block.settings.iter().map(|(key, _)| *key).collect();
            let tables = ["rule", "isolation", "rescue", "report", "logs"];
            let wanted = section.keys.iter().copied();
            let wanted = wanted.filter(|key| !tables.contains(key) || section.title != keys::SERVICE.title);
            let wanted: BTreeSet<&str> = wanted
                .filter(|key| {
                    *key == "unit" || section.title != keys::SERVICE.title || !Target::KEYS.contains(key)
                })
                .collect();
            assert_eq!(shown, wanted, "{}", section.title);
        }
    }
}
