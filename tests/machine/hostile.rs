//! A service whose names and log lines pretend to be something else: in the journal, in JSON, on a page, on a terminal
//! they stay what they are.

use serde_json::Value;

use crate::{Machine, await_that};

const MESSAGE_ID: &str = "MESSAGE_ID=3c0ca8153b204a9aae04ec6bd4148855";
/// Calls itself by fields of the journal, writes lines of ours, escapes and what is no text, and reads through null.
const PROGRAM: &str = r#"
import ctypes, os
ctypes.CDLL(None).prctl(15, b"a\nPRIORITY=0\x1bc", 0, 0, 0)
os.write(1, b"\x1b[2J\xff\xfe</script><script>owned()</script>\n")
os.write(1, b"SICKBAY_ID=forged\nMESSAGE_ID=3c0ca8153b204a9aae04ec6bd4148855\n")
ctypes.string_at(0)
"#;

#[test]
fn names_and_log_lines_forge_nothing() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    // A path with an end of line and an escape in it, as the command line shows it.
    let script = "/opt/a\nSICKBAY_SERVICE=root\u{1b}[31m.py";
    machine.write(script, PROGRAM);
    machine.write("/opt/start", "exec python3 /opt/a*.py\n");
    machine.unit(
        "evil.service",
        "[Service]\nExecStart=/usr/bin/sickbay enroll --service evil -- /bin/sh /opt/start\nLimitCORE=0\n",
    );
    machine.boot();
    machine.start_sickbay("[[service]]\nname = \"evil\"\nunit = \"evil.service\"\n");
    machine.must(&["systemctl", "start", "evil.service"]);
    let report = machine.await_reports(1).remove(0);
    let id = report["id"].as_str().unwrap();

    // One entry, with each field once, and the name as one value.
    let entries = await_that("the entry in the journal", || {
        let entries = machine.journal(&[MESSAGE_ID]);
        (!entries.is_empty()).then_some(entries)
    });
    assert_eq!(entries.len(), 1, "{entries:#?}");
    let entry = &entries[0];
    assert_eq!(entry["SICKBAY_ID"], id);
    assert_eq!(entry["SICKBAY_SERVICE"], "evil");
    assert_eq!(entry["PRIORITY"], "2");
    let message = entry["MESSAGE"].as_str().unwrap();
    assert!(!message.contains(['\n', '\u{1b}']), "{message:?}");
    assert!(message.contains(r"a\nPRIORITY=0\x1bc"), "{message:?}");

    // The service's lines are among the report's, as they were written.
    let logs = report["logs"].as_array().unwrap();
    let line = logs
        .iter()
        .find(|line| line["text"].as_str().is_some_and(|text| text.contains("owned()")));
    assert!(line.is_some(), "{logs:#?}");

    // What a terminal shows has no control characters, and what is JSON is plain text.
    for verb in [
        &["show", id][..],
        &["logs", id],
        &["list"],
        &["stats"],
        &["status"],
    ] {
        let shown = machine.must(&[&["sickbay"], verb].concat());
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{verb:?}: {shown:?}"
        );
        let forged = shown
            .lines()
            .find(|line| line.starts_with("PRIORITY=") || line.starts_with("SICKBAY_"));
        assert_eq!(forged, None, "{verb:?}: {shown}");
    }
    for verb in [
        &["show", id, "--json"][..],
        &["list", "--json"],
        &["logs", id, "--json"],
    ] {
        let shown = machine.must(&[&["sickbay"], verb].concat());
        serde_json::from_str::<Value>(&shown).unwrap();
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{verb:?}: {shown:?}"
        );
    }
    machine.must(&[
        "sickbay",
        "export",
        id,
        "--format",
        "html",
        "-o",
        "/opt/report.html",
    ]);
    let page = machine.must(&["cat", "/opt/report.html"]);
    assert!(page.contains("owned()"), "the line is on the page");
    assert!(!page.contains("<script>owned()"), "{page}");
    let metrics = machine.must(&["sickbay", "metrics"]);
    assert!(
        metrics
            .lines()
            .all(|line| line.starts_with("# ") || line.starts_with("sickbay_")),
        "{metrics}"
    );
}
