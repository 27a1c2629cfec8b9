use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::report::model::Report;
use crate::report::sample;

#[test]
fn every_sample_is_a_page() {
    for report in sample::all() {
        let page = render(&report).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
        assert!(page.contains(&report.id), "{page}");
    }
}

/// The tags of a page, in order.
fn tags(page: &str) -> Vec<String> {
    let tag = |part: &str| {
        let name = part
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!')
            .next();
        name.unwrap_or_default().to_owned()
    };
    page.split('<').skip(1).map(tag).collect()
}

/// Every string of a report is replaced by an attack in turn: the page has the same elements as before, and no character
/// in it that acts on its neighbours.
#[test]
fn no_string_becomes_markup() {
    const ATTACK: &str =
        "</script><script>owned()</script>'\"><img src=x onerror=owned()>\u{202e}\x1b[2J&lt;";
    let harmless = ATTACK.replace(|c: char| !c.is_ascii_alphanumeric(), "x");
    let report = serde_json::to_value(sample::full()).unwrap();
    let mut pointers = Vec::new();
    strings(&report, String::new(), &mut pointers);
    let mut attacked = 0;
    for pointer in pointers {
        let with = |text: &str| {
            let mut changed = report.clone();
            *changed.pointer_mut(&pointer).unwrap() = text.into();
            let report: Report = serde_json::from_value(changed).ok()?;
            Some(render(&report).unwrap())
        };
        let (Some(hostile), Some(harmless)) = (with(ATTACK), with(&harmless)) else {
            continue;
        };
        assert_eq!(tags(&hostile), tags(&harmless), "{pointer}");
        assert!(!hostile.contains(['\u{202e}', '\x1b']), "{pointer}");
        attacked += 1;
    }
    assert!(attacked > 60, "only {attacked} strings");
}

fn strings(value: &serde_json::Value, pointer: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(_) => found.push(pointer),
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                strings(item, format!("{pointer}/{index}"), found);
            }
        }
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                strings(value, format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_page_needs_nothing_else() {
    let page = render(&sample::full()).unwrap();
    for reference in [
        "http://", "https://", "src=", "@import", "<link", "<base", " style=",
    ] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert_eq!(page.matches("url(").count(), page.matches("url(#arrow)").count());
    let handler = |rest: &str| {
        let name = rest.split('=').next().unwrap_or_default();
        rest.contains('=') && !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase())
    };
    assert!(!page.split(" on").skip(1).any(handler));
}

/// The policy lets the browser take this style and this script, and no other.
#[test]
fn the_hashes_are_right() {
    for (text, hash) in [(STYLE, STYLE_HASH), (SCRIPT, SCRIPT_HASH)] {
        let digest = through("sha256sum", &[], text.as_bytes());
        let digest = hex::decode(digest.split_whitespace().next().unwrap()).unwrap();
        let base64 = through("base64", &["--wrap=0"], &digest);
        assert_eq!(hash, format!("sha256-{base64}"), "put the right side into mod.rs");
    }
}

fn through(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn words_of_the_stack_say_what_they_point_to() {
    let mut report = sample::null_write();
    let pointer = report.threads[0].registers["rsp"].0;
    let words = [
        0x5581_0000_11b9,
        pointer + 0x40,
        0x5581_0020_0010,
        7,
        0x0074_6375_646f_7270,
    ];
    report.memory[1].bytes = words.map(u64::to_le_bytes).concat().into();
    report.memory[1].address.0 = pointer - 8;
    let thread = &report.threads[0];
    let rows = StackWords::of(&report, thread).first;
    let shown: Vec<(String, &str)> = rows
        .iter()
        .map(|row| (row.target.to_string(), row.class))
        .collect();
    let shown: Vec<(&str, &str)> = shown
        .iter()
        .map(|(target, class)| (target.as_str(), *class))
        .collect();
    assert_eq!(
        shown,
        [
            ("api-server+0x11b9", "code"),
            ("its stack + 0x40", "stack"),
            ("heap", "heap"),
            ("", ""),
            ("\"product\"", "text")
        ]
    );
    assert!(rows[1].marked && !rows[0].marked);
}

#[test]
fn any_report_is_a_page() {
    let mut report = sample::full();
    report.memory[0].address.0 = u64::MAX - 3;
    report.maps.reverse();
    report.modules[0].low.0 = u64::MAX;
    report.pause.phases.insert("long".into(), u64::MAX);
    report.fault.tid = None;
    report.threads[0].faulting = false;
    render(&report).unwrap();
}
