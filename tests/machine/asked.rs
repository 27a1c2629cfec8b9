//! Units that run their programs under `sickbay run` are asked about held threads, wherever they may write, and whether the
//! machine's own Sickbay comes or goes.

use serde_json::Value;

use crate::{Machine, await_that};

const HOLD: &str =
    "[[service]]\nname = \"crashy\"\non_fault = \"hold\"\n[service.isolation]\nprobation = \"60s\"\n";

/// What each unit says of itself.
const UNITS: [(&str, &str); 4] = [
    ("root", ""),
    ("strict", "ProtectSystem=strict\nRuntimeDirectory=strict\n"),
    ("user", "User=daemon\nRuntimeDirectory=user other\n"),
    ("homeless", "User=daemon\n"),
];

/// Starts a unit, lets one of its threads fault, and returns the program's process.
fn held(machine: &Machine, unit: &str) -> i32 {
    machine.must(&["systemctl", "start", unit]);
    let front = machine.main_pid(unit);
    let script = format!(
        "for p in $(cat /proc/{front}/task/*/children); do grep -qx crashy /proc/$p/comm && echo $p; done"
    );
    let program = await_that(&format!("the program of {unit}"), || {
        machine
            .run(&["sh", "-c", &script])
            .stdout
            .trim()
            .parse::<i32>()
            .ok()
    });
    let status = || machine.run(&["cat", &format!("/proc/{program}/status")]).stdout;
    await_that("four threads", || status().contains("Threads:\t4").then_some(()));
    machine.await_traced(program);
    machine.must(&["kill", "-USR1", &program.to_string()]);
    program
}

/// The thread that is held, once it is.
#[track_caller]
fn held_thread(machine: &Machine, program: i32) -> String {
    let ask = ["sickbay", "threads", "--json", "--pid", &program.to_string()];
    await_that("a held thread", || {
        let said = machine.run(&ask);
        assert_eq!(said.code, Some(0), "{said:#?}");
        let threads: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
        let held = threads
            .iter()
            .find(|thread| thread["isolated"]["state"] == "held")?;
        Some(held["tid"].to_string())
    })
}

#[test]
fn units_that_run_programs_are_asked_where_they_may_write() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.fixture("crashy");
    machine.write("/etc/hold.toml", HOLD);
    for (name, extra) in UNITS {
        let text = format!(
            "[Service]\n{extra}StateDirectory={name}\nLimitCORE=0\nExecStart=/usr/bin/sickbay run --config /etc/hold.toml -- /opt/crashy\n"
        );
        machine.unit(&format!("{name}.service"), &text);
    }
    machine.boot();
    let [root, strict, user, homeless] = UNITS.map(|(name, _)| held(&machine, &format!("{name}.service")));

    // Whatever becomes of the daemon, whose unit has the directory in which the first one listens.
    machine.start_sickbay("");
    held_thread(&machine, root);
    machine.must(&["systemctl", "restart", "sickbay.service"]);
    held_thread(&machine, root);
    machine.must(&["systemctl", "stop", "sickbay.service"]);

    for (program, unit) in [(root, "root"), (strict, "strict"), (user, "user")] {
        let tid = held_thread(&machine, program);
        machine.must(&["sickbay", "settle", &tid, "--action", "deliver"]);
        let ended =
            || (machine.property(&format!("{unit}.service"), "ExecMainStatus") == "139").then_some(());
        await_that(&format!("the end of {unit}"), ended);
    }

    // Where there is no place for it, it is said what would be one; and by the unit's own log.
    let refused = machine.run(&["sickbay", "threads", "--pid", &homeless.to_string()]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("RuntimeDirectory="), "{refused:#?}");
    let log = machine.must(&["journalctl", "--unit=homeless.service", "--output=cat"]);
    assert!(log.contains("nobody can ask about isolated threads"), "{log}");
    assert!(log.contains("RuntimeDirectory="), "{log}");

    // The journal is not for that user, and its report does not call it empty.
    let list = ["sickbay", "list", "--json", "--state-dir"];
    let of_user = machine.must(&[&list[..], &["/var/lib/user"]].concat());
    let reports: Vec<Value> = serde_json::from_str(&of_user).unwrap();
    let id = reports[0]["id"].as_str().unwrap();
    let shown = machine.must(&["sickbay", "show", id, "--json", "--state-dir", "/var/lib/user"]);
    let report: Value = serde_json::from_str(&shown).unwrap();
    let note = report["log_note"].as_str().unwrap_or_default();
    assert!(note.contains("this user may not read it"), "{note}");
}
