//! What the machine may lose: the journal, the bus, the disk, the daemon. Services notice nothing, and what was promised
//! is kept.

use crate::{Machine, await_that};

const UNIT: &str = "\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/opt/crashy
Restart=always
RestartSec=100ms
LimitCORE=0
";
const CONFIGURATION: &str = "[[service]]\nname = \"api\"\nunit = \"api.service\"\n";

/// A machine with that service under supervision.
fn supervised() -> Option<Machine> {
    let mut machine = Machine::new()?;
    machine.fixture("crashy");
    machine.unit("api.service", UNIT);
    machine.boot();
    machine.must(&["systemctl", "start", "api.service"]);
    Some(machine)
}

/// The service's process, once its four threads run.
fn ready(machine: &Machine) -> i32 {
    await_that("four threads", || {
        let pid = machine.main_pid("api.service");
        let status = machine.run(&["cat", &format!("/proc/{pid}/status")]).stdout;
        status.contains("Threads:\t4").then_some(pid)
    })
}

/// Has the service crash, under supervision, and waits for its next process.
fn crash(machine: &Machine) -> i32 {
    let first = ready(machine);
    machine.await_traced(first);
    machine.must(&["kill", "-USR1", &first.to_string()]);
    await_that(&format!("a restart; {}", machine.log()), || {
        let pid = machine.main_pid("api.service");
        (pid != first && pid != 0).then_some(())
    });
    ready(machine)
}

/// Who traces a process.
fn tracer(machine: &Machine, pid: i32) -> String {
    let status = machine.run(&["grep", "TracerPid", &format!("/proc/{pid}/status")]);
    status.stdout
}

#[test]
fn the_journal_and_the_bus_may_go_and_a_bad_configuration_changes_nothing() {
    let Some(machine) = supervised() else {
        return;
    };
    machine.start_sickbay(CONFIGURATION);
    crash(&machine);
    machine.await_reports(1);

    let sockets = [
        "systemd-journald.socket",
        "systemd-journald-dev-log.socket",
        "systemd-journald-audit.socket",
    ];
    machine.run(&[&["systemctl", "stop", "systemd-journald.service"], &sockets[..]].concat());
    assert_ne!(
        machine.property("systemd-journald.service", "ActiveState"),
        "active"
    );
    crash(&machine);
    let reports = machine.await_reports(2);
    let note = reports[1]["log_note"].as_str().unwrap_or_default();
    assert!(note.contains("the last lines may be missing"), "{note}");
    machine.must(&["systemctl", "start", sockets[0], "systemd-journald.service"]);
    crash(&machine);
    machine.await_reports(3);

    machine.run(&["systemctl", "restart", "dbus.service"]);
    crash(&machine);
    machine.await_reports(4);

    let pid = ready(&machine);
    machine.await_traced(pid);
    let before = tracer(&machine, pid);
    machine.write("/etc/sickbay/conf.d/bad.toml", "[[service]]\nname = 7\nunit =");
    let reloaded = machine.run(&["systemctl", "reload", "sickbay.service"]);
    assert_ne!(reloaded.code, Some(0), "{reloaded:#?}");
    let asked = machine.run(&["sickbay", "reload"]);
    assert_eq!(asked.code, Some(78), "{asked:#?}");
    assert_eq!(tracer(&machine, pid), before, "{}", machine.log());
    assert_eq!(
        machine.property("sickbay.service", "ActiveState"),
        "active",
        "{}",
        machine.log()
    );
    crash(&machine);
    machine.await_reports(5);
}

#[test]
fn a_daemon_that_is_killed_is_replaced_and_loses_no_service() {
    let Some(machine) = supervised() else {
        return;
    };
    machine.start_sickbay(CONFIGURATION);
    let pid = ready(&machine);
    machine.await_traced(pid);
    for _ in 0..3 {
        let daemon = machine.main_pid("sickbay.service");
        machine.must(&["kill", "-KILL", &daemon.to_string()]);
        await_that("another daemon", || {
            let now = machine.main_pid("sickbay.service");
            (now != daemon && now != 0).then_some(())
        });
        machine.await_traced(pid);
        assert_eq!(machine.main_pid("api.service"), pid);
    }
    crash(&machine);
    machine.await_reports(1);
}

#[test]
fn a_disk_that_is_full_or_read_only_costs_the_report_alone() {
    let Some(machine) = supervised() else {
        return;
    };
    machine.must(&["mkdir", "-p", "/var/lib/sickbay"]);
    machine.must(&[
        "mount",
        "-t",
        "tmpfs",
        "-o",
        "size=1M,nr_inodes=64",
        "tmpfs",
        "/var/lib/sickbay",
    ]);
    machine.start_sickbay(CONFIGURATION);
    machine.run(&[
        "sh",
        "-c",
        "dd if=/dev/zero of=/var/lib/sickbay/full bs=4k status=none",
    ]);
    let said = |what: &str| {
        await_that(&format!("'{what}' in the journal; {}", machine.log()), || {
            machine.log().contains(what).then_some(())
        });
    };
    crash(&machine);
    said("no space left on device");
    machine.must(&["rm", "/var/lib/sickbay/full"]);
    crash(&machine);
    await_that("a report where there is room again", || {
        let list = machine.must(&["sickbay", "list", "--json"]);
        list.contains("null pointer dereference").then_some(())
    });

    machine.must(&["mount", "-o", "remount,ro", "/var/lib/sickbay"]);
    crash(&machine);
    said("read-only file system");
    let pid = ready(&machine);
    machine.await_traced(pid);
}

/// A thousand crashes of one service, in a loop, while another one crashes once.
#[test]
fn a_noisy_service_takes_no_report_of_a_quiet_one() {
    const CRASHES: usize = 1000;
    let Some(machine) = supervised() else {
        return;
    };
    machine.fixture("die");
    let noisy = format!(
        "[Service]\nType=oneshot\nExecStart=/usr/bin/sickbay enroll --service noisy -- /bin/sh -c 'for i in $(seq {CRASHES}); do /opt/die null-write; done 2>/dev/null; true'\nLimitCORE=0\n"
    );
    machine.unit("noisy.service", &noisy);
    machine.start_sickbay(&format!(
        "{CONFIGURATION}[[service]]\nname = \"noisy\"\nunit = \"noisy.service\"\n"
    ));
    machine.must(&["systemctl", "start", "--no-block", "noisy.service"]);
    machine.await_reports(1);
    crash(&machine);
    let quiet = || {
        let reports = machine.reports();
        let of_quiet = reports.iter().find(|report| report["service"]["name"] == "api")?;
        (of_quiet["incomplete"][0]["step"] != "report").then(|| of_quiet.clone())
    };
    let report = await_that(&format!("the quiet service's report; {}", machine.log()), quiet);
    assert_eq!(
        report["fault"]["cause"], "null pointer dereference",
        "{report:#?}"
    );
    // It comes to its end: nobody is left stopped.
    for _ in 0..10 {
        if machine.property("noisy.service", "ActiveState") == "inactive" {
            break;
        }
        machine.run(&[
            "timeout",
            "20",
            "sh",
            "-c",
            "until systemctl is-failed --quiet noisy || [ $(systemctl is-active noisy) = inactive ]; do :; done",
        ]);
    }
    assert_eq!(
        machine.property("noisy.service", "Result"),
        "success",
        "{}",
        machine.log()
    );
    let metrics = machine.must(&["sickbay", "metrics"]);
    let noisy = machine.reports().len();
    assert!(
        noisy < CRASHES,
        "{noisy} reports of {CRASHES} crashes are no limit"
    );
    assert!(
        metrics.contains("noisy"),
        "what is not recorded is counted: {metrics}"
    );
    assert!(quiet().is_some(), "the quiet service's report is kept");
}
