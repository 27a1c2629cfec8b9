//! `[[service]]` and what is below it.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::values;
use crate::config::document::Document;
use crate::config::{
    Isolation, Logs, Origin, ReportOptions, Rescue, Rule, Service, Size, Target, bounds, keys,
};

/// One service; its name joins `names`.
pub(super) fn service<'t>(
    document: &mut Document<'t>,
    span: Range<usize>,
    table: &DeTable<'t>,
    names: &mut BTreeMap<String, Origin>,
) -> Service {
    let mut service = Service::default();
    document.expect_keys(table, &keys::SERVICE);
    service.name = name(document, span, table, names).unwrap_or_default();
    service.target = target(document, table);
    document.set(&mut service.children, table, "children", Document::boolean);
    document.set(&mut service.on_fault, table, "on_fault", values::ladder);
    document.set(
        &mut service.freeze_timeout,
        table,
        "freeze_timeout",
        |document, value| document.quantity(value, bounds::FREEZE_TIMEOUT),
    );
    document.set(&mut service.stop_rate, table, "stop_rate", |document, value| {
        document.integer(value, 0..=bounds::MAX_STOP_RATE)
    });
    document.set(
        &mut service.on_stop_rate,
        table,
        "on_stop_rate",
        |document, value| document.word(value, "answer to a high rate of stops", &bounds::ON_STOP_RATE),
    );
    if let Some(value) = table.get("rule") {
        for (span, table) in document.tables(value, "service.rule") {
            let rule = rule(document, span, table);
            service.rules.push(rule);
        }
    }
    if let Some(table) = table
        .get("isolation")
        .and_then(|value| document.table(value, "service.isolation"))
    {
        isolation(document, table, &mut service.isolation);
    }
    if let Some(value) = table.get("rescue") {
        for (span, table) in document.tables(value, "service.rescue") {
            let rescue = rescue(document, span, table);
            service.rescues.push(rescue);
        }
    }
    if let Some(table) = table
        .get("report")
        .and_then(|value| document.table(value, "service.report"))
    {
        report(document, table, &mut service.report);
    }
    if let Some(table) = table
        .get("logs")
        .and_then(|value| document.table(value, "service.logs"))
    {
        logs(document, table, &mut service.logs);
    }
    service
}

/// The name of a service, which no other may have.
fn name<'t>(
    document: &mut Document<'t>,
    span: Range<usize>,
    table: &DeTable<'t>,
    names: &mut BTreeMap<String, Origin>,
) -> Option<String> {
    let Some(value) = table.get("name") else {
        document.missing(
            span,
            "the service has no name",
            Some("add name = \"...\"".to_owned()),
        );
        return None;
    };
    let name = values::service_name(document, value)?;
    match names.get(&name) {
        Some(first) => {
            let message = format!("a service named '{name}' exists already, at {first}");
            document.error(
                value.span(),
                message,
                Some("give each service a name of its own".to_owned()),
            );
        }
        None => drop(names.insert(name.clone(), document.origin(&value.span()))),
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
            "pid" => document.integer(value, 1..=bounds::PID_MAX).map(Target::Pid),
            "pid_file" => values::absolute(document, value).map(Target::PidFile),
            "exe" => values::absolute(document, value).map(Target::Exe),
            _ => values::pattern(document, value).map(Target::Command),
        };
    }
    found
}

fn rule<'t>(document: &mut Document<'t>, span: Range<usize>, table: &DeTable<'t>) -> Rule {
    document.expect_keys(table, &keys::RULE);
    let mut rule = Rule {
        origin: Some(document.origin(&span)),
        ..Rule::default()
    };
    document.set(&mut rule.signals, table, "signals", |document, value| {
        document.one_or_more(value, values::fault_signal)
    });
    document.set(&mut rule.threads, table, "threads", |document, value| {
        document.one_or_more(value, values::thread_pattern)
    });
    for (slot, key) in [
        (&mut rule.modules, "module"),
        (&mut rule.functions, "function"),
        (&mut rule.causes, "cause"),
    ] {
        document.set(slot, table, key, |document, value| {
            document.one_or_more(value, Document::string)
        });
    }
    document.set(&mut rule.action, table, "action", values::ladder);
    document.set(&mut rule.deliver_as, table, "deliver_as", |document, value| {
        values::signal(document, value).map(Some)
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

fn isolation<'t>(document: &mut Document<'t>, table: &DeTable<'t>, isolation: &mut Isolation) {
    document.expect_keys(table, &keys::ISOLATION);
    document.set(&mut isolation.probation, table, "probation", |document, value| {
        document.quantity(value, bounds::PROBATION)
    });
    for (slot, key, most) in [
        (
            &mut isolation.threads_per_group,
            "threads_per_group",
            bounds::MAX_LOST,
        ),
        (
            &mut isolation.threads_per_process,
            "threads_per_process",
            bounds::MAX_LOST,
        ),
        (
            &mut isolation.throws_per_second,
            "throws_per_second",
            bounds::MAX_THROWS,
        ),
    ] {
        document.set(slot, table, key, |document, value| {
            document.integer(value, 0..=most)
        });
    }
    document.set(&mut isolation.shutdown, table, "shutdown", Document::boolean);
}

fn rescue<'t>(document: &mut Document<'t>, span: Range<usize>, table: &DeTable<'t>) -> Rescue {
    document.expect_keys(table, &keys::RESCUE);
    let mut rescue = Rescue::default();
    for (slot, key) in [
        (&mut rescue.modules, "caller_module"),
        (&mut rescue.functions, "caller_function"),
    ] {
        document.set(slot, table, key, |document, value| {
            document.one_or_more(value, Document::string)
        });
    }
    document.set(&mut rescue.value, table, "return", |document, value| {
        document.integer(value, i64::MIN..=i64::MAX)
    });
    if rescue.modules.is_empty() && rescue.functions.is_empty() {
        document.missing(
            span,
            "the rescue names no frame",
            Some("add caller_module = \"...\" or caller_function = \"...\"".to_owned()),
        );
    }
    rescue
}

fn report<'t>(document: &mut Document<'t>, table: &DeTable<'t>, report: &mut ReportOptions) {
    document.expect_keys(table, &keys::REPORT);
    document.set(&mut report.formats, table, "formats", |document, value| {
        document.list(value, values::format)
    });
    document.set(&mut report.core, table, "core", values::core_extent);
    document.set(&mut report.core_limit, table, "core_limit", |document, value| {
        document.quantity(value, Size(0)..=bounds::MAX_CORE)
    });
    document.set(
        &mut report.dump_interval,
        table,
        "dump_interval",
        |document, value| document.quantity(value, bounds::AGES),
    );
    document.set(&mut report.dontdump, table, "dontdump", |document, value| {
        document.word(value, "way to look up undumped memory", &bounds::DONT_DUMP)
    });
    document.set(
        &mut report.environment,
        table,
        "environment",
        |document, value| document.list(value, values::variable_pattern),
    );
    document.set(&mut report.cmdline, table, "cmdline", values::cmdline);
    document.set(&mut report.files, table, "files", Document::boolean);
    for (slot, key) in [
        (&mut report.thread_stack, "thread_stack"),
        (&mut report.fault_stack, "fault_stack"),
        (&mut report.memory, "memory"),
    ] {
        document.set(slot, table, key, |document, value| {
            document.quantity(value, Size(0)..=bounds::MAX_MEMORY)
        });
    }
    document.set(
        &mut report.max_per_minute,
        table,
        "max_per_minute",
        |document, value| document.integer(value, 0..=bounds::MAX_PER_MINUTE),
    );
    document.set(&mut report.exits, table, "exits", |document, value| {
        document.word(value, "kind of exits", &bounds::EXITS)
    });
}

fn logs<'t>(document: &mut Document<'t>, table: &DeTable<'t>, logs: &mut Logs) {
    document.expect_keys(table, &keys::LOGS);
    document.set(&mut logs.journal, table, "journal", Document::boolean);
    document.set(&mut logs.files, table, "files", |document, value| {
        document.list(value, values::file_pattern)
    });
}
