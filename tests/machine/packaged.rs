//! Debian's own services under load, attached with all their processes: neither they nor the service manager notice it,
//! whoever is started, stopped, reloaded or restarted.

use std::collections::BTreeSet;

use crate::{Machine, await_that};

/// A service of the distribution.
struct Packaged {
    unit: String,
    /// A shell command that asks it something and succeeds if it answers.
    request: &'static str,
    reloads: bool,
}

/// What does not depend on the moment.
const PROPERTIES: [&str; 9] = [
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "ExecMainCode",
    "ExecMainStatus",
    "StatusErrno",
    "UnitFileState",
];

fn services(machine: &Machine) -> Vec<Packaged> {
    let mut versions: Vec<String> = std::fs::read_dir(machine.path("/etc/postgresql"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    versions.sort();
    let postgres = versions.pop().map(|version| Packaged {
        unit: format!("postgresql@{version}-main.service"),
        request: "setpriv --reuid postgres --regid postgres --init-groups psql -qtc 'select 1'",
        reloads: true,
    });
    let others = [
        Packaged {
            unit: "nginx.service".to_owned(),
            request: "curl -sfo /dev/null http://127.0.0.1/",
            reloads: true,
        },
        Packaged {
            unit: "redis-server.service".to_owned(),
            request: "test \"$(redis-cli incr served)\" -gt 0",
            reloads: false,
        },
        Packaged {
            unit: "memcached.service".to_owned(),
            request: "exec 3<>/dev/tcp/127.0.0.1/11211 && printf 'version\\r\\nquit\\r\\n' >&3 && grep -q VERSION <&3",
            reloads: false,
        },
    ];
    let installed = |service: &Packaged| {
        let name = service.unit.split('@').next().unwrap_or_default();
        let file = format!("{}.service", name.trim_end_matches(".service"));
        let there = ["/lib/systemd/system/", "/usr/lib/systemd/system/"]
            .iter()
            .any(|directory| machine.path(&format!("{directory}{file}")).exists());
        if !there {
            eprintln!("skipped: {} is not installed", service.unit);
        }
        there
    };
    others.into_iter().chain(postgres).filter(installed).collect()
}

/// A client that asks without a pause, and counts what it got and what it did not.
struct Load<'m> {
    machine: &'m Machine,
    name: String,
}

impl<'m> Load<'m> {
    fn start(machine: &'m Machine, service: &Packaged) -> Self {
        let name = service.unit.replace('@', "-").replace(".service", "");
        let request = service.request;
        machine.write(
            &format!("/opt/load-{name}"),
            &format!(
                "while :; do if {request}; then printf . >>/opt/{name}.got; else printf . >>/opt/{name}.missed; fi; done\n"
            ),
        );
        let (unit, script) = (format!("--unit=load-{name}"), format!("/opt/load-{name}"));
        machine.must(&["systemd-run", "--quiet", &unit, "bash", &script]);
        Self { machine, name }
    }

    fn count(&self, kind: &str) -> u64 {
        let path = self.machine.path(&format!("/opt/{}.{kind}", self.name));
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    fn missed(&self) -> u64 {
        self.count("missed")
    }

    /// Waits until it has been answered a few times more.
    fn await_served(&self, when: &str) {
        let before = self.count("got");
        await_that(
            &format!("{} to serve {when}; {}", self.name, self.machine.log()),
            || (self.count("got") > before + 3).then_some(()),
        );
    }
}

/// The processes of a unit, by their ids inside.
fn processes(machine: &Machine, unit: &str) -> BTreeSet<i32> {
    let group = machine.property(unit, "ControlGroup");
    let list = machine.run(&["cat", &format!("/sys/fs/cgroup{group}/cgroup.procs")]);
    list.stdout.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// What `systemctl show` and the tree of `systemctl status` say, without what depends on the moment.
fn view(machine: &Machine, unit: &str) -> (Vec<String>, BTreeSet<String>) {
    let properties = PROPERTIES.map(|name| format!("{name}={}", machine.property(unit, name)));
    let status = machine.run(&["systemctl", "status", "--no-pager", "--lines=0", unit]);
    let tree = status.stdout.lines().filter_map(|line| {
        let (_, process) = line.split_once('─')?;
        let text: String = process.chars().filter(|c| !c.is_ascii_digit()).collect();
        // What a database does in the background comes and goes.
        (!text.contains("autovacuum worker") && !text.contains("[local]") && !text.contains("startup"))
            .then(|| text.trim().to_owned())
    });
    (properties.into(), tree.collect())
}

/// Waits until every process of a unit is traced, in a moment in which none came or went.
fn await_held(machine: &Machine, unit: &str) {
    await_that(
        &format!("all processes of {unit} traced; {}", machine.log()),
        || {
            let before = processes(machine, unit);
            let traced = |pid: &i32| {
                let script = format!("! cat /proc/{pid}/task/*/status | grep '^TracerPid:\\s*0$'");
                machine.run(&["sh", "-c", &script]).code == Some(0)
            };
            let all = !before.is_empty() && before.iter().all(traced);
            (all && processes(machine, unit) == before).then_some(())
        },
    );
}

/// Starts, reloads and restarts a service, and returns what the service manager saw each time.
fn life(
    machine: &Machine,
    service: &Packaged,
    load: Option<&Load<'_>>,
) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let mut seen = Vec::new();
    for verb in ["start", "reload", "restart", "stop", "start"] {
        if verb == "reload" && !service.reloads {
            continue;
        }
        machine.must(&["systemctl", verb, &service.unit]);
        if verb != "stop" {
            let asked = || (machine.run(&["bash", "-c", service.request]).code == Some(0)).then_some(());
            await_that(&format!("{} to answer after {verb}", service.unit), asked);
            if let Some(load) = load {
                load.await_served(&format!("after {verb}"));
            }
        }
        // Processes of the time before a reload end in their own time.
        let settled = await_that(&format!("{} as it stays after {verb}", service.unit), || {
            let (one, two) = (view(machine, &service.unit), view(machine, &service.unit));
            let ending = one.1.iter().any(|line| line.contains("shutting down"));
            (one == two && !ending).then_some(one)
        });
        seen.push(settled);
    }
    seen
}

#[test]
fn packaged_services_live_as_without_us() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    let services = services(&machine);
    machine.boot();
    let without: Vec<_> = services
        .iter()
        .map(|service| life(&machine, service, None))
        .collect();

    let configuration: String = services
        .iter()
        .map(|service| {
            let name = service.unit.split(['@', '.']).next().unwrap();
            format!("[[service]]\nname = \"{name}\"\nunit = \"{}\"\n", service.unit)
        })
        .collect();
    let loads: Vec<Load<'_>> = services
        .iter()
        .map(|service| Load::start(&machine, service))
        .collect();
    for load in &loads {
        load.await_served("before anybody watches");
    }
    // None of what we do costs a request.
    let missed: Vec<u64> = loads.iter().map(Load::missed).collect();
    let unnoticed = |when: &str| {
        for ((service, load), missed) in services.iter().zip(&loads).zip(&missed) {
            load.await_served(when);
            assert_eq!(load.missed(), *missed, "{} {when}", service.unit);
        }
    };
    machine.start_sickbay(&configuration);
    for service in &services {
        await_held(&machine, &service.unit);
    }
    unnoticed("while watched");
    machine.must(&["systemctl", "reload", "sickbay.service"]);
    unnoticed("after a reload of Sickbay");
    for how in ["restart", "kill"] {
        let before = machine.main_pid("sickbay.service");
        if how == "kill" {
            machine.must(&["kill", "-KILL", &before.to_string()]);
        } else {
            machine.must(&["systemctl", "restart", "sickbay.service"]);
        }
        await_that("Sickbay to be back", || {
            let pid = machine.main_pid("sickbay.service");
            (pid != before && pid != 0).then_some(())
        });
        for service in &services {
            await_held(&machine, &service.unit);
        }
        unnoticed(how);
    }

    for ((service, load), without) in services.iter().zip(&loads).zip(&without) {
        // It runs already.
        machine.must(&["systemctl", "stop", &service.unit]);
        let watched = life(&machine, service, Some(load));
        assert_eq!(&watched, without, "{}", service.unit);
        await_held(&machine, &service.unit);
    }
    machine.must(&["systemctl", "stop", "sickbay.service"]);
    for (service, load) in services.iter().zip(&loads) {
        load.await_served("when Sickbay is gone");
        assert_eq!(
            machine.property(&service.unit, "ActiveState"),
            "active",
            "{}",
            service.unit
        );
    }
    assert_eq!(machine.reports().len(), 0, "{:#?}", machine.reports());
}

/// A backend of PostgreSQL that crashes is reported, and its postmaster starts all of them anew, as it does without us.
#[test]
fn a_postmaster_restarts_its_backends() {
    let Some(mut machine) = Machine::new() else {
        return;
    };
    let service = services(&machine)
        .into_iter()
        .find(|service| service.unit.starts_with("postgresql@"));
    let Some(Packaged { unit, request, .. }) = service else {
        return;
    };
    machine.boot();
    machine.must(&["systemctl", "start", &unit]);
    let answers = || (machine.run(&["bash", "-c", request]).code == Some(0)).then_some(());
    await_that("the database to answer", answers);
    let postmaster = machine.main_pid(&unit);
    machine.start_sickbay(&format!("[[service]]\nname = \"database\"\nunit = \"{unit}\"\n"));
    await_held(&machine, &unit);

    let as_postgres = "setpriv --reuid postgres --regid postgres --init-groups";
    let session = format!("exec {as_postgres} psql -c 'select pg_sleep(1000)'");
    machine.must(&["systemd-run", "--quiet", "--unit=session", "sh", "-c", &session]);
    let whose = "select pid from pg_stat_activity where query = 'select pg_sleep(1000)'";
    let find = format!("{as_postgres} psql -qtAc \"{whose}\"");
    let backend = await_that("the session", || {
        let said = machine.run(&["sh", "-c", &find]);
        said.stdout.trim().parse::<i32>().ok()
    });
    machine.await_traced(backend);
    machine.must(&["kill", "-SEGV", &backend.to_string()]);
    let report = machine.await_reports(1).remove(0);
    assert_eq!(report["process"]["pid"], backend);
    assert_eq!(report["signal"]["name"], "SIGSEGV");
    let log = || machine.must(&["sh", "-c", "cat /var/log/postgresql/*.log"]);
    await_that("the postmaster to notice", || {
        let log = log();
        let ended = log.contains(&format!(
            "(PID {backend}) was terminated by signal 11: Segmentation fault"
        ));
        (ended && log.contains("all server processes terminated; reinitializing")).then_some(())
    });
    await_that("the database to answer again", answers);
    assert_eq!(machine.main_pid(&unit), postmaster);
    await_held(&machine, &unit);
}
