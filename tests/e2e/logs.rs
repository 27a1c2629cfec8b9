//! The service's last log lines in its reports: files and their rotations, what the program wrote to stderr.
//!
//! The journal is in `tests/machine`.

use std::fs;
use std::process::Command;

use crate::support::{Ended, Report, Sickbay, fixture, spawn};

/// The text of each line from that source.
fn lines<'r>(report: &'r Report, source: &str) -> Vec<&'r str> {
    let of_source = report.list("logs").iter().filter(|line| line["source"] == source);
    of_source.map(|line| line["text"].as_str().unwrap()).collect()
}

#[test]
fn files_are_read_with_what_they_were_before() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("api.log");
    fs::write(&log, "third\nfourth \u{1b}[31m\n").unwrap();
    fs::write(directory.path().join("api.log.1"), "first\nsecond\n").unwrap();
    let elsewhere = directory.path().join("gone.log");
    let sickbay = Sickbay::new().configured(&format!(
        "[[service]]\nname = \"api\"\n[service.logs]\nfiles = [\"{}/a*.log\", \"{}\"]\n",
        directory.path().display(),
        elsewhere.display()
    ));
    let outcome = sickbay.run(fixture("workers"), &["3", "2"]);
    assert_eq!(outcome.code(), 128 + libc::SIGSEGV, "{outcome:#?}");
    let report = sickbay.only_report();
    assert_eq!(
        lines(&report, log.to_str().unwrap()),
        ["first", "second", "third", "fourth \u{1b}[31m"]
    );
    assert_eq!(
        report.text("log_note"),
        format!("{}: no such file", elsewhere.display())
    );
    let text = fs::read_to_string(report.directory().join("report.txt")).unwrap();
    assert!(text.contains("fourth \\x1b[31m"), "{text}");
}

#[test]
fn an_end_without_a_fault_has_log_lines_too() {
    let log = tempfile::NamedTempFile::new().unwrap();
    fs::write(log.path(), "going down\n").unwrap();
    let sickbay = Sickbay::new().configured(&format!(
        "[[service]]\nname = \"api\"\n[service.logs]\nfiles = [\"{}\"]\n",
        log.path().display()
    ));
    let outcome = sickbay.run("/bin/sh", &["-c", "kill -KILL $$"]);
    assert_eq!(outcome.code(), 128 + libc::SIGKILL, "{outcome:#?}");
    let report = sickbay.only_report();
    assert_eq!(report.text("kind"), "exit");
    assert_eq!(lines(&report, log.path().to_str().unwrap()), ["going down"]);
}

/// The file is the program's and ours; it is read through a description of its own, so nobody's place in it moves.
#[test]
fn what_the_program_wrote_to_a_file_for_stderr_is_read_back() {
    let sickbay = Sickbay::new();
    let log = sickbay.scratch().join("stderr");
    let script = "echo before >&2; \"$0\" \"$@\"; echo after >&2; exit 3";
    let mut command = sickbay.run_command("/bin/sh", &["-c", script]);
    command.arg(fixture("workers")).args(["2", "1"]);
    let redirected = Command::new("/bin/sh")
        .args(["-c", "exec \"$@\" 2>\"$0\""])
        .arg(&log)
        .arg(command.get_program())
        .args(command.get_args())
        .env("SICKBAY_LOG", "off")
        .status()
        .unwrap();
    assert_eq!(redirected.code(), Some(3));
    let report = sickbay.only_report();
    assert_eq!(lines(&report, "stderr").first(), Some(&"before"), "{report:?}");
    let kept = fs::read_to_string(&log).unwrap();
    assert!(
        kept.starts_with("before\n") && kept.contains("\nafter\n"),
        "{kept}"
    );
}

/// A terminal or a pipe stays what it is, whatever that costs the report.
#[test]
fn what_is_no_file_is_left_alone() {
    let sickbay = Sickbay::new();
    let script = "readlink /proc/self/fd/2; exec \"$0\" 2 1";
    let mut program = spawn(
        sickbay
            .run_command("/bin/sh", &["-c", script])
            .arg(fixture("workers")),
    );
    let ours = fs::read_link(format!("/proc/{}/fd/2", program.pid())).unwrap();
    assert_eq!(
        program.stdout_line("pipe:"),
        ours.to_str().unwrap().trim_start_matches("pipe:")
    );
    assert_eq!(program.ended(), Ended::Exited(128 + libc::SIGSEGV));
    assert!(sickbay.only_report().model()["logs"].is_null());
}
