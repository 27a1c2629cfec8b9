#![doc = include_str!("FORMAT.md")]

/// The document itself.
pub const DOCUMENT: &str = include_str!("FORMAT.md");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::report::{Report, sample};

    /// Objects whose keys are data, not fields.
    const DICTIONARIES: [&str; 5] = ["registers", "vector", "limits", "environment", "phases"];

    /// The document and the model name the same fields, each with its full path.
    #[test]
    fn the_document_names_exactly_the_fields_of_the_model() {
        let mut written = BTreeSet::new();
        paths("", &serde_json::to_value(sample::full()).unwrap(), &mut written);
        let documented: BTreeSet<String> = DOCUMENT
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .map(|(path, _)| path.to_owned())
            .collect();
        let undocumented: Vec<_> = written.difference(&documented).collect();
        let unknown: Vec<_> = documented.difference(&written).collect();
        assert!(
            undocumented.is_empty() && unknown.is_empty(),
            "undocumented: {undocumented:#?}, unknown: {unknown:#?}"
        );
    }

    #[test]
    fn the_example_is_a_report() {
        let example = example();
        let report: Report = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(&report).unwrap(), example);
    }

    #[test]
    fn what_readers_do_not_know_is_ignored() {
        let mut newer = example();
        newer["threads"][0]["mood"] = "calm".into();
        newer["weather"] = serde_json::json!({"wind": 3});
        newer["kind"] = "premonition".into();
        newer["fault"]["access"] = "sniff".into();
        let report: Report = serde_json::from_value(newer).unwrap();
        assert_eq!(report.kind, crate::report::model::Kind::Unknown);
    }

    #[test]
    fn every_sample_survives_json() {
        for report in sample::all() {
            let json = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        }
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        let json = serde_json::to_value(sample::minimal()).unwrap();
        let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["id", "kind", "process", "schema", "signal", "time"]);
        assert_eq!(json["process"], serde_json::json!({"pid": 4711}));
    }

    fn example() -> Value {
        let (_, rest) = DOCUMENT.split_once("```json\n").unwrap();
        let (json, _) = rest.split_once("```").unwrap();
        serde_json::from_str(json).unwrap()
    }

    /// Adds the path of every value that is not itself made of fields.
    fn paths(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items
                .iter()
                .for_each(|item| paths(&format!("{path}[]"), item, found)),
            Value::Object(fields) if DICTIONARIES.iter().any(|name| path.ends_with(name)) => {
                fields
                    .values()
                    .for_each(|value| paths(&format!("{path}{{}}"), value, found));
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    paths(&path, value, found);
                }
            }
            _ => {
                found.insert(path.to_owned());
            }
        }
    }
}
