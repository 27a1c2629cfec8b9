//! Units wherever the service manager puts them: in slices of their own, as instances of a template, with names that
//! control groups cannot have, under another name, as a user that exists while they run; without a bus.

use crate::{Machine, await_that};

const EXEC: &str = "[Service]\nExecStart=/opt/crashy\nRestart=on-failure\nRestartSec=100ms\nLimitCORE=0\n";

/// What the configuration calls it, and what the service manager does.
const UNITS: [(&str, &str); 6] = [
    ("gold.service", "gold.service"),
    ("db@one", "db@one.service"),
    (r"db@a\x2db.service", r"db@a\x2db.service"),
    ("memory.service", "memory.service"),
    ("other-name.service", "gold-too.service"),
    ("dynamic.service", "dynamic.service"),
];

#[test]
fn units_are_found_wherever_they_are() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.fixture("crashy");
    let in_slice = format!("{EXEC}Slice=customers-gold.slice\n");
    machine.unit("gold.service", &in_slice);
    machine.unit(
        "gold-too.service",
        &format!("{in_slice}[Install]\nAlias=other-name.service\n"),
    );
    machine.unit("db@.service", EXEC);
    machine.unit("memory.service", EXEC);
    machine.unit("dynamic.service", &format!("{EXEC}DynamicUser=yes\n"));
    machine.boot();
    machine.must(&["systemctl", "enable", "gold-too.service"]);
    machine.must(&["systemctl", "stop", "dbus.socket", "dbus.service"]);
    let configuration: String = UNITS
        .iter()
        .enumerate()
        .map(|(number, (unit, _))| format!("[[service]]\nname = \"s{number}\"\nunit = '{unit}'\n"))
        .collect();
    // Some run before anybody watches, the others come later.
    for (_, unit) in &UNITS[..3] {
        machine.must(&["systemctl", "start", unit]);
    }
    machine.start_sickbay(&configuration);
    for (_, unit) in &UNITS[3..] {
        machine.must(&["systemctl", "start", unit]);
    }
    for (_, unit) in UNITS {
        machine.await_traced(machine.main_pid(unit));
    }
    let group = machine.property("gold.service", "ControlGroup");
    assert_eq!(group, "/customers.slice/customers-gold.slice/gold.service");
    let group = machine.property("memory.service", "ControlGroup");
    assert!(group.ends_with("/_memory.service"), "{group}");

    for (number, (_, unit)) in UNITS.into_iter().enumerate() {
        let first = machine.main_pid(unit);
        let status = || machine.run(&["cat", &format!("/proc/{first}/status")]).stdout;
        await_that("four threads", || status().contains("Threads:\t4").then_some(()));
        machine.must(&["kill", "-USR1", &first.to_string()]);
        let reports = machine.await_reports(number + 1);
        let of_unit = reports.iter().find(|report| report["process"]["pid"] == first);
        assert_eq!(of_unit.unwrap()["service"]["unit"], unit, "{reports:#?}");
        let second = await_that(&format!("{unit} restarted; {}", machine.log()), || {
            let pid = machine.main_pid(unit);
            (pid != first && pid != 0).then_some(pid)
        });
        machine.await_traced(second);
    }
}
