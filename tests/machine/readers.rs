//! Who may read which report: the owner of the process, the group of the operators, and nobody else.

use serde_json::Value;

use crate::machine::Said;
use crate::{Machine, await_that};

const CONFIGURATION: &str = "\
[[service]]
name = \"hers\"
unit = \"hers.service\"

[[service]]
name = \"sealed\"
unit = \"sealed.service\"

[[service]]
name = \"system\"
unit = \"system.service\"
";
/// A process that asked not to be dumpable (`PR_SET_DUMPABLE`), and then reads through a null pointer.
const SEALED: &str =
    "/usr/bin/python3 -c 'import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); ctypes.string_at(0)'";
/// The one whose process crashes, another one, and an operator.
const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Runs a command as a user with its own groups.
fn by(machine: &Machine, user: &str, command: &[&str]) -> Said {
    let become_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
    machine.run(&[&become_user, command].concat())
}

fn listed(machine: &Machine, user: &str) -> Vec<String> {
    let said = by(machine, user, &["sickbay", "list", "--json"]);
    assert_eq!(said.code, Some(0), "{user}: {said:#?}");
    let list: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let services = list.iter().map(|report| report["service"]["name"].as_str());
    services.map(|name| name.unwrap().to_owned()).collect()
}

#[test]
fn the_owner_and_the_group_read_and_nobody_else() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.fixture("die");
    let enrolled = |user: &str, name: &str, program: &str| {
        format!("[Service]\nUser={user}\nExecStart=/usr/bin/sickbay enroll --service {name} -- {program}\n")
    };
    machine.unit("hers.service", &enrolled("alice", "hers", "/opt/die null-write"));
    machine.unit("sealed.service", &enrolled("alice", "sealed", SEALED));
    machine.unit(
        "system.service",
        &enrolled("root", "system", "/opt/die null-write"),
    );
    machine.boot();
    for user in USERS {
        machine.must(&["useradd", "--user-group", "--no-create-home", user]);
    }
    machine.must(&["systemd-sysusers"]);
    machine.must(&["usermod", "--append", "--groups", "sickbay", "carol"]);
    machine.start_sickbay(CONFIGURATION);
    for (count, unit) in ["hers.service", "sealed.service", "system.service"]
        .into_iter()
        .enumerate()
    {
        machine.must(&["systemctl", "start", unit]);
        machine.await_reports(count + 1);
    }
    let reports = machine.reports();
    let of = |name: &str| {
        let report = reports.iter().find(|report| report["service"]["name"] == name);
        report.unwrap()["id"].as_str().unwrap().to_owned()
    };
    // The report is whole before its owner is let in, and its rename comes after.
    let places = machine.must(&["sh", "-c", "ls -laR /var/lib/sickbay"]);
    await_that(&format!("her report readable: {places}{}", machine.log()), || {
        (listed(&machine, "alice") == ["hers"]).then_some(())
    });
    assert_eq!(listed(&machine, "bob"), [""; 0]);
    assert_eq!(listed(&machine, "carol"), ["system", "sealed", "hers"]);
    let none = by(&machine, "bob", &["sickbay", "list"]).stderr;
    assert!(none.contains("and 3 reports that you may not"), "{none}");

    for (user, id, expected) in [
        ("alice", of("hers"), 0),
        ("alice", "latest".to_owned(), 0),
        ("alice", of("sealed"), 5),
        ("alice", of("system"), 5),
        ("bob", of("hers"), 5),
        ("bob", "latest".to_owned(), 4),
        ("carol", of("hers"), 0),
        ("carol", of("system"), 0),
    ] {
        let shown = by(&machine, user, &["sickbay", "show", &id]);
        assert_eq!(shown.code, Some(expected), "{user} reads {id}: {shown:#?}");
        let core = ["sickbay", "export", &id, "--format", "core", "-o", "/dev/null"];
        let exported = by(&machine, user, &core);
        assert_eq!(
            exported.code,
            Some(expected),
            "{user} exports {id}: {exported:#?}"
        );
    }
    let hers = format!("/var/lib/sickbay/reports/{}", of("hers"));
    for file in ["report.json", "report.txt", "memory.zst"] {
        let file = format!("{hers}/{file}");
        assert_eq!(by(&machine, "bob", &["cat", &file]).code, Some(1), "{file}");
        assert_eq!(by(&machine, "alice", &["cat", &file]).code, Some(0), "{file}");
        assert_ne!(
            by(&machine, "alice", &["truncate", "-s0", &file]).code,
            Some(0),
            "{file}"
        );
    }
    // Whoever locks the directory keeps the report from being deleted to make room.
    assert_ne!(
        by(&machine, "alice", &["flock", "--nonblock", &hers, "true"]).code,
        Some(0)
    );
    for user in USERS {
        for place in ["/var/lib/sickbay", "/var/lib/sickbay/reports", &hers] {
            let link = format!("{place}/planted");
            let planted = by(&machine, user, &["ln", "-s", "/etc/shadow", &link]);
            assert_ne!(planted.code, Some(0), "{user} plants {link}");
        }
        let deleted = by(&machine, user, &["sickbay", "delete", &of("hers")]);
        assert_ne!(deleted.code, Some(0), "{user} deletes");
        let reloaded = by(&machine, user, &["sickbay", "reload"]);
        assert_eq!(reloaded.code, Some(5), "{user} reloads: {reloaded:#?}");
    }
    assert_eq!(by(&machine, "carol", &["sickbay", "status"]).code, Some(0));
    assert_eq!(by(&machine, "bob", &["sickbay", "status"]).code, Some(5));
}

/// Reports go where `[store] state_dir` says, and are found there.
#[test]
fn the_configuration_says_where_reports_are() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    machine.boot();
    machine.must(&["rm", "-rf", "/etc/sickbay"]);
    let defaults = machine.must(&["sickbay", "config", "show"]);
    assert!(
        defaults.contains("state_dir") || defaults.contains("max_size"),
        "{defaults}"
    );
    machine.write(
        "/etc/sickbay/sickbay.toml",
        "[store]\nstate_dir = \"/srv/reports\"\n",
    );
    machine.fixture("die");
    let died = machine.run(&["sickbay", "run", "--quiet", "--", "/opt/die", "null-write"]);
    assert_eq!(died.code, Some(139), "{died:#?}");
    assert!(machine.path("/srv/reports/reports").exists());
    let list = machine.must(&["sickbay", "list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
    for verb in [&["show"][..], &["stats"], &["logs"], &["vacuum", "--dry-run"]] {
        machine.must(&[&["sickbay"], verb].concat());
    }
    let elsewhere = machine.must(&["sickbay", "--state-dir", "/srv/none", "list"]);
    assert_eq!(elsewhere, "");
}
