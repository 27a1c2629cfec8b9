//! A service with `Restart=on-failure` crashes: the report, the journal, and a service manager that sees no difference.

use crate::{Machine, await_that};

const UNIT: &str = "\
[Service]
ExecStart=/opt/crashy
Restart=on-failure
RestartSec=100ms
LimitCORE=0
";
const CONFIGURATION: &str = "\
[[service]]
name = \"till\"
unit = \"crashy.service\"
";

/// What every entry about an incident has in common.
const MESSAGE_ID: &str = "3c0ca8153b204a9aae04ec6bd4148855";

/// What the service manager knows of a unit's last end.
fn view(machine: &Machine) -> Vec<String> {
    ["Result", "ExecMainCode", "NRestarts", "ActiveState", "SubState"]
        .map(|name| machine.property("crashy.service", name))
        .into()
}

/// Starts the service, makes it crash, and waits until its next process runs. Returns the first one's id.
fn crash(machine: &Machine, traced: bool) -> i32 {
    machine.must(&["systemctl", "start", "crashy.service"]);
    let ready = |pid: i32| {
        let path = format!("/proc/{pid}/status");
        let status = machine.run(&["cat", &path]).stdout;
        status.contains("Threads:\t4").then_some(pid)
    };
    let first = await_that("four threads", || ready(machine.main_pid("crashy.service")));
    if traced {
        machine.await_traced(first);
    }
    machine.must(&["kill", "-USR1", &first.to_string()]);
    await_that(&format!("a restart; {}", machine.log()), || {
        let pid = machine.main_pid("crashy.service");
        (pid != first && pid != 0).then(|| ready(pid)).flatten()
    });
    first
}

/// How long after the second process of the service was started the daemon had said that it holds it, microseconds: from
/// the service manager's record of the start to the journal's of the line. Both are of the monotonic clock; on a busy
/// machine the manager may come to its record later.
fn attached_after_us(machine: &Machine) -> i64 {
    let started: i64 = machine
        .property("crashy.service", "ExecMainStartTimestampMonotonic")
        .parse()
        .unwrap();
    let said = |line: &serde_json::Value| -> Option<i64> {
        let attached = line["MESSAGE"].as_str()?.contains("till: attached: 1 process");
        let time = line["__MONOTONIC_TIMESTAMP"].as_str()?.parse().ok()?;
        attached.then_some(time)
    };
    let second: i64 = await_that("the line about the restarted process", || {
        let journal = machine.journal(&["--unit=sickbay.service"]);
        journal.iter().filter_map(said).nth(1)
    });
    second - started
}

#[test]
fn a_service_that_crashes_and_restarts() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.fixture("crashy");
    machine.unit("crashy.service", UNIT);
    machine.boot();
    crash(&machine, false);
    let without = view(&machine);
    machine.must(&["systemctl", "stop", "crashy.service"]);
    machine.must(&["systemctl", "reset-failed"]);

    machine.start_sickbay(CONFIGURATION);
    let first = crash(&machine, true);
    assert_eq!(view(&machine), without);
    let reports = machine.await_reports(1);
    assert_eq!(reports.len(), 1, "{reports:#?}");
    let report = &reports[0];
    assert_eq!(report["process"]["pid"], first);
    assert_eq!(report["signal"]["name"], "SIGSEGV");
    assert!(
        report["fault"]["thread_name"]
            .as_str()
            .unwrap()
            .starts_with("till-")
    );
    assert_eq!(report["service"]["name"], "till");
    assert_eq!(report["service"]["unit"], "crashy.service");
    machine.await_traced(machine.main_pid("crashy.service"));
    println!(
        "the restarted process was attached, and the journal knew it, {} us after the service manager started it",
        attached_after_us(&machine)
    );
    // Said once, before the service was started for the first time; not of a restart.
    let log = machine.log();
    assert_eq!(log.matches("is not running").count(), 1, "{log}");
    // The unit is hardened, and nothing is missing for it.
    assert_eq!(report["incomplete"], serde_json::Value::Null, "{report:#?}");
    let status = machine.must(&["sickbay", "status"]);
    assert!(status.contains("unit crashy.service"), "{status}");
    let logs = report["logs"].as_array().unwrap();
    let last = logs.iter().rfind(|line| line["source"] == "journal").unwrap();
    assert_eq!(last["text"], "charging an order that nobody placed", "{logs:#?}");
    assert_eq!(
        report["service"]["invocation_id"].as_str().map(str::len),
        Some(32)
    );

    // Among the service's own lines, after the last of them; and by its kind.
    let lines = await_that("the entry in the unit's journal", || {
        let lines = machine.journal(&["--unit=crashy.service", "--reverse"]);
        lines
            .iter()
            .any(|line| line["MESSAGE_ID"] == MESSAGE_ID)
            .then_some(lines)
    });
    let entry = lines
        .iter()
        .find(|line| line["MESSAGE_ID"] == MESSAGE_ID)
        .unwrap();
    let id = report["id"].as_str().unwrap();
    assert_eq!(entry["SICKBAY_ID"], id);
    assert_eq!(entry["OBJECT_PID"], first.to_string());
    assert_eq!(entry["SICKBAY_SIGNAL_NAME"], "SIGSEGV");
    assert_eq!(entry["SICKBAY_CAUSE"], report["fault"]["cause"]);
    assert_eq!(entry["PRIORITY"], "2");
    assert_eq!(entry["_SYSTEMD_UNIT"], "sickbay.service");
    let found = machine.journal(&[&format!("MESSAGE_ID={MESSAGE_ID}")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    machine.must(&["journalctl", "--update-catalog"]);
    let explained = machine.must(&["journalctl", "-x", "--no-pager", &format!("SICKBAY_ID={id}")]);
    assert!(explained.contains(&format!("sickbay show {id}")), "{explained}");
}

/// The daemon finds a unit's processes some milliseconds after they begin; one that faults before has enrolled.
#[test]
fn a_service_that_crashes_at_its_start() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.fixture("die");
    let unit =
        "[Service]\nUser=nobody\nExecStart=/usr/bin/sickbay enroll --service early -- /opt/die null-write\n";
    machine.unit("early.service", unit);
    machine.boot();
    machine.start_sickbay("[[service]]\nname = \"early\"\nunit = \"early.service\"\n");
    machine.must(&["systemctl", "start", "early.service"]);
    let reports = machine.await_reports(1);
    assert_eq!(reports[0]["service"]["unit"], "early.service");
    assert_eq!(reports[0]["fault"]["cause"], "null pointer dereference");
    assert_eq!(reports[0]["process"]["comm"], "die");
    let failed = || (machine.property("early.service", "Result") == "signal").then_some(());
    await_that("the service manager to see the signal", failed);
}
