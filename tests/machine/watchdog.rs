//! A service that the manager's watchdog ends: the report names it, and the deadlock behind it.

use serde_json::Value;

use crate::{Machine, await_that};

/// The program ends with its stdin.
const UNIT: &str = "\
[Service]
ExecStart=/bin/bash -c 'exec /opt/locks cycle 3 < <(exec sleep infinity)'
WatchdogSec=5
LimitCORE=0
";

#[test]
fn a_deadlock_that_the_watchdog_ends_is_named() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.fixture("locks");
    machine.unit("stuck.service", UNIT);
    machine.boot();
    machine.start_sickbay("[[service]]\nname = \"stuck\"\nunit = \"stuck.service\"\n");
    machine.must(&["systemctl", "start", "stuck.service"]);
    // The manager ends all of the unit, so what feeds the program has a report as well.
    let reports = machine.await_reports(2);
    let of_program = |report: &&Value| report["process"]["comm"] == "locks";
    let report = reports.iter().find(of_program).unwrap();
    assert_eq!(report["fault"]["cause"], "systemd watchdog");
    let detail = report["fault"]["detail"].as_str().unwrap();
    assert!(detail.contains("its watchdog or a timeout ran out"), "{detail}");
    assert!(detail.contains("deadlock: "), "{detail}");
    assert_eq!(detail.matches("which waits for the mutex").count(), 2, "{detail}");
    let result = || (machine.property("stuck.service", "Result") == "watchdog").then_some(());
    await_that("the service manager to see its watchdog", result);
}
