//! The verbs that read reports and explain the machine: list, show, delete, check, config, doctor.

use std::process::Command;

use crate::support::{Sickbay, fixture, run};

const NO_SUCH_REPORT: i32 = 4;

/// A store with the reports of two deaths, the older one first.
fn two_deaths() -> Sickbay {
    let sickbay = Sickbay::new();
    sickbay.run(fixture("workers"), &["4", "2"]);
    sickbay.run(fixture("die"), &["abort"]);
    assert_eq!(sickbay.reports().len(), 2);
    sickbay
}

#[test]
fn list_shows_each_report() {
    let sickbay = two_deaths();
    let listed = sickbay.json("list", &[]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed:#}");
    let outcome = run(&mut sickbay.verb("list"));
    for report in sickbay.reports() {
        assert!(outcome.stdout.contains(report.text("id")), "{outcome:#?}");
    }
    assert_eq!(outcome.stderr, "");
}

/// The count goes on when reports are deleted, and is that of one fault of one service.
#[test]
fn the_same_fault_is_counted() {
    let sickbay = Sickbay::new();
    let counts = |arguments: &[&str]| {
        sickbay.run(fixture("die"), arguments);
        let newest = sickbay.json("list", &["-n", "1"]);
        newest[0]["occurrences"].as_u64()
    };
    assert_eq!(counts(&["null-write"]), Some(1));
    assert_eq!(counts(&["null-write"]), Some(2));
    assert_eq!(counts(&["abort"]), Some(1));
    let deleted = sickbay.json("list", &[])[2]["id"].as_str().unwrap().to_owned();
    assert_eq!(run(sickbay.verb("delete").arg(deleted)).code(), 0);
    assert_eq!(counts(&["null-write"]), Some(3));
    let shown = run(sickbay.verb("show").arg("latest")).stdout;
    assert!(shown.contains("\n  Before   2 times before\n"), "{shown}");
    let times = |line: &str| line.contains("null pointer dereference  3 ");
    let listed = run(&mut sickbay.verb("list")).stdout;
    assert!(listed.lines().any(times), "{listed}");
}

#[test]
fn list_of_nothing_is_empty() {
    let sickbay = Sickbay::new();
    assert_eq!(sickbay.json("list", &[]), serde_json::json!([]));
    assert_eq!(run(&mut sickbay.verb("list")).code(), 0);
}

#[test]
fn damaged_and_foreign_entries_do_not_break_list() {
    let sickbay = two_deaths();
    let reports = sickbay.state().join("reports");
    std::fs::write(reports.join("a-file"), "not a directory").unwrap();
    std::fs::create_dir(reports.join("empty")).unwrap();
    for (name, text) in [
        ("garbage", "{"),
        ("other-schema", r#"{"schema":"other/9"}"#),
        ("array", "[]"),
    ] {
        std::fs::create_dir(reports.join(name)).unwrap();
        std::fs::write(reports.join(name).join("report.json"), text).unwrap();
    }
    std::os::unix::fs::symlink("/etc", reports.join("a-link")).unwrap();
    let good: Vec<String> = sickbay
        .reports()
        .iter()
        .filter(|report| report.has("id"))
        .map(|r| r.text("id").to_owned())
        .collect();
    assert_eq!(good.len(), 2);
    let outcome = run(&mut sickbay.verb("list"));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    assert!(good.iter().all(|id| outcome.stdout.contains(id)), "{outcome:#?}");
    assert_eq!(run(sickbay.verb("show").arg("latest")).code(), 0);
}

#[test]
fn show_tells_the_story_first() {
    let sickbay = two_deaths();
    let outcome = run(sickbay.verb("show").arg("-2"));
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let first: String = outcome.stdout.lines().take(12).collect();
    for text in ["worker-2", "null pointer dereference", "SIGSEGV"] {
        assert!(
            first.contains(text),
            "{text:?} is not in the first lines: {}",
            outcome.stdout
        );
    }
}

#[test]
fn a_report_is_named_by_prefix_latest_and_position() {
    let sickbay = two_deaths();
    let reports = sickbay.reports();
    let [older, newer] = reports.as_slice() else {
        panic!("two reports")
    };
    for name in ["latest", "-1", newer.text("id")] {
        assert_eq!(&sickbay.json("show", &[name]), newer.model(), "{name}");
    }
    assert_eq!(&sickbay.json("show", &["-2"]), older.model());
    for name in ["no-such-report", "-9"] {
        assert_eq!(
            run(sickbay.verb("show").arg(name)).code(),
            NO_SUCH_REPORT,
            "{name}"
        );
    }
}

#[test]
fn delete_removes_one_report() {
    let sickbay = two_deaths();
    let gone = sickbay.reports()[0].text("id").to_owned();
    assert_eq!(run(sickbay.verb("delete").arg(&gone)).code(), 0);
    assert!(sickbay.reports().iter().all(|report| report.text("id") != gone));
    assert_eq!(sickbay.reports().len(), 1);
    assert_eq!(run(sickbay.verb("delete").arg(&gone)).code(), NO_SUCH_REPORT);
    assert_eq!(run(sickbay.verb("delete").arg("../..")).code(), NO_SUCH_REPORT);
    assert_eq!(sickbay.reports().len(), 1);
}

#[test]
fn the_default_configuration_is_accepted() {
    let sickbay = Sickbay::new();
    let defaults = run(Command::new(Sickbay::program()).args(["config", "defaults"]));
    assert_eq!(defaults.code(), 0, "{defaults:#?}");
    assert!(defaults.stdout.contains("[[service]]"), "{defaults:#?}");
    let file = sickbay.scratch().join("defaults.toml");
    std::fs::write(&file, &defaults.stdout).unwrap();
    let checked = run(Command::new(Sickbay::program()).arg("check").arg(&file));
    assert_eq!(checked.code(), 0, "{checked:#?}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(Sickbay::program())
        .args(["config", "defaults"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(
        (status.status.code(), status.stderr.as_slice()),
        (Some(0), b"".as_slice())
    );
}

#[test]
fn doctor_explains_this_machine() {
    let sickbay = Sickbay::new();
    let outcome = run(Command::new(Sickbay::program())
        .arg("doctor")
        .current_dir(sickbay.scratch()));
    assert!(outcome.stdout.to_lowercase().contains("ptrace"), "{outcome:#?}");
    assert!(matches!(outcome.code(), 0 | 1 | 6), "{outcome:#?}");
}

#[test]
fn help_and_version() {
    for arguments in [["--help"], ["--version"]] {
        let outcome = run(Command::new(Sickbay::program()).args(arguments));
        assert_eq!((outcome.code(), outcome.stderr.as_str()), (0, ""));
        assert!(outcome.stdout.contains("sickbay"));
    }
}
