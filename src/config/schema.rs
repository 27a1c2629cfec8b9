//! The JSON schema of a configuration file, for editors and for tools that write one.
//!
//! It is generated from the names, words and bounds that the parser goes by, with the explanations of
//! `config/sickbay.toml`. What it cannot say (names that are unique, one target for a service, what a regular
//! expression is) `sickbay check` finds.

use serde_json::{Map, Value, json};

use super::keys::{self, Section};
use super::{Format, Ladder, bounds, defaults, show, units};

/// The schema, of draft 2020-12.
pub fn schema() -> Value {
    let mut rule = table(&keys::RULE, rule);
    rule["anyOf"] = json!([{ "required": ["action"] }, { "required": ["deliver_as"] }]);
    let mut service = table(&keys::SERVICE, service);
    service["required"] = json!(["name"]);
    service["properties"]["rule"] = json!({ "type": "array", "items": rule });
    service["properties"]["isolation"] = table(&keys::ISOLATION, isolation);
    let mut rescue = table(&keys::RESCUE, rescue);
    rescue["anyOf"] = json!([{ "required": ["caller_module"] }, { "required": ["caller_function"] }]);
    service["properties"]["rescue"] = json!({ "type": "array", "items": rescue });
    service["properties"]["report"] = table(&keys::REPORT, report);
    service["properties"]["logs"] = table(&keys::LOGS, logs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Sickbay",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "store": table(&keys::STORE, store),
            "service": { "type": "array", "items": service },
        },
    })
}

/// A table with every key of its section.
fn table(section: &Section, kind: impl Fn(&str) -> Value) -> Value {
    let defaults = show::defaults();
    let mut properties = Map::new();
    for key in section.keys {
        let mut property = kind(key);
        let of_key = |(title, name, _): &&(&str, &str, toml::Value)| *title == section.title && name == key;
        if let Some((_, _, value)) = defaults.iter().find(of_key) {
            property["default"] = json!(value);
        }
        if let Some(text) = defaults::explanation(section.title, key) {
            property["description"] = json!(text);
        }
        properties.insert((*key).to_owned(), property);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn store(key: &str) -> Value {
    match key {
        "state_dir" => path(),
        "max_age" => time(),
        "service_max_reports" => integer(0, bounds::REPORTS_KEPT),
        _ => size(),
    }
}

fn service(key: &str) -> Value {
    match key {
        "pid" => integer(1, bounds::PID_MAX),
        "pid_file" | "exe" => path(),
        "children" => json!({ "type": "boolean" }),
        "on_fault" => ladder(),
        "freeze_timeout" => time(),
        "stop_rate" => integer(0, bounds::MAX_STOP_RATE),
        "on_stop_rate" => words(bounds::ON_STOP_RATE.iter().map(|(word, _)| *word)),
        // The tables below have schemas of their own.
        _ => text(),
    }
}

fn rule(key: &str) -> Value {
    match key {
        "action" => ladder(),
        "deliver_as" => text(),
        _ => one_or_more(text()),
    }
}

fn isolation(key: &str) -> Value {
    match key {
        "probation" => time(),
        "throws_per_second" => integer(0, bounds::MAX_THROWS),
        "shutdown" => json!({ "type": "boolean" }),
        _ => integer(0, bounds::MAX_LOST),
    }
}

fn rescue(key: &str) -> Value {
    match key {
        "return" => json!({ "type": "integer" }),
        _ => one_or_more(text()),
    }
}

fn report(key: &str) -> Value {
    match key {
        "formats" => list(words(Format::ALL.map(Format::name))),
        "core" => words(bounds::CORE_EXTENTS.iter().map(|(word, _)| *word)),
        "dontdump" => words(bounds::DONT_DUMP.iter().map(|(word, _)| *word)),
        "environment" => list(text()),
        "cmdline" => json!({ "enum": [true, false, "mask"] }),
        "files" => json!({ "type": "boolean" }),
        "dump_interval" => time(),
        "max_per_minute" => integer(0, bounds::MAX_PER_MINUTE),
        "exits" => words(bounds::EXITS.iter().map(|(word, _)| *word)),
        _ => size(),
    }
}

fn logs(key: &str) -> Value {
    match key {
        "journal" => json!({ "type": "boolean" }),
        _ => list(path()),
    }
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn path() -> Value {
    json!({ "type": "string", "pattern": "^/" })
}

fn integer(least: u32, most: impl Into<i64>) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most.into() })
}

fn size() -> Value {
    quantity(units::Size::units())
}

fn time() -> Value {
    quantity(units::Span::units())
}

/// A number with a unit.
fn quantity(units: impl Iterator<Item = &'static str>) -> Value {
    let units: Vec<&str> = units.collect();
    json!({ "type": "string", "pattern": format!("^\\s*[0-9]+\\s*({})\\s*$", units.join("|")) })
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>() })
}

fn ladder() -> Value {
    let words = words(Ladder::words());
    json!({ "anyOf": [words, { "type": "array", "items": words, "minItems": 1 }] })
}

fn one_or_more(item: Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item })
}
