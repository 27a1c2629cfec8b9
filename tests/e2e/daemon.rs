//! `sickbay daemon`: every configured service followed, reload, the service manager's protocol, letting go.
//!
//! What needs a service manager is in `tests/machine`; here the daemon is an ordinary process.

use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use serde_json::Value;

use crate::support::{
    Ended, Outcome, Running, Sickbay, await_that, fixture, found_in_path, is_root, proc, run, skip, spawn,
    unprivileged,
};

/// A daemon with a configuration that the test can change.
pub(crate) struct Scene {
    pub(crate) sickbay: Sickbay,
    config: PathBuf,
}

impl Scene {
    pub(crate) fn configured(text: &str) -> Self {
        let sickbay = Sickbay::new();
        let config = sickbay.scratch().join("daemon.toml");
        std::fs::write(&config, text).unwrap();
        Self { sickbay, config }
    }

    fn configure(&self, text: &str) {
        std::fs::write(&self.config, text).unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.sickbay.scratch().join("control.sock")
    }

    fn command(&self) -> Command {
        let mut command = self.sickbay.verb("daemon");
        command.arg("--config").arg(&self.config);
        command.arg("--socket").arg(self.socket());
        command
    }

    /// A verb that asks the daemon.
    pub(crate) fn ask(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new(Sickbay::program());
        run(command.args(words).arg("--socket").arg(self.socket()))
    }

    /// What the daemon says of a service.
    pub(crate) fn status(&self, service: &str) -> Value {
        let outcome = self.ask(&["status", "--json", service]);
        assert_eq!(outcome.code(), 0, "{outcome:#?}");
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    pub(crate) fn start(&self) -> Running {
        spawn(&mut self.command())
    }
}

/// Workers that fault after a line on stdin.
pub(crate) fn workers() -> Running {
    let mut program = spawn(Command::new(fixture("workers")).args(["4", "2", "stdin"]));
    program.stdout_line("ready");
    program
}

fn by_pid(name: &str, pid: i32) -> String {
    format!("[[service]]\nname = \"{name}\"\npid = {pid}\n")
}

#[test]
fn each_service_has_its_own_tracer_and_reports() {
    let (mut one, two) = (workers(), workers());
    let pid_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pid_file.path(), format!("{}\n", two.pid())).unwrap();
    let by_file = format!(
        "[[service]]\nname = \"two\"\npid_file = \"{}\"\n",
        pid_file.path().display()
    );
    let scene = Scene::configured(&format!("{}{by_file}", by_pid("one", one.pid())));
    let daemon = scene.start();
    let tracers = [&one, &two].map(|program| proc::await_all_traced(program.pid()));
    assert_ne!(tracers[0], tracers[1]);

    one.write("go\n");
    assert_eq!(one.ended(), Ended::Killed(libc::SIGSEGV, false));
    let report = scene.sickbay.awaited_report();
    assert_eq!(report.text("service.name"), "one");
    assert_eq!(proc::await_all_traced(two.pid()), tracers[1]);

    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.finish().code(), 0);
    proc::assert_let_go(two.pid());
}

#[test]
fn a_process_that_comes_later_is_found() {
    let pid_file = tempfile::tempdir().unwrap();
    let path = pid_file.path().join("late.pid");
    let scene = Scene::configured(&format!(
        "[[service]]\nname = \"late\"\npid_file = \"{}\"\n[[service]]\nname = \"pattern\"\ncommand = \"workers 3 2 stdin$\"\n",
        path.display()
    ));
    let mut daemon = scene.start();
    daemon.stderr_line("sickbay: late: pid file");
    let program = workers();
    std::fs::write(&path, program.pid().to_string()).unwrap();
    proc::await_all_traced(program.pid());
    let mut other = spawn(Command::new(fixture("workers")).args(["3", "2", "stdin"]));
    other.stdout_line("ready");
    proc::await_all_traced(other.pid());
}

#[test]
fn a_reload_lets_go_of_nothing_that_stays_configured() {
    let (one, two) = (workers(), workers());
    let scene = Scene::configured(&by_pid("one", one.pid()));
    let mut daemon = scene.start();
    let tracer = proc::await_all_traced(one.pid());

    scene.configure("[[service]]\nname = 1\n");
    daemon.signal(Signal::SIGHUP);
    daemon.stderr_line("sickbay: the configuration stays as it was");
    assert!(
        daemon
            .stderr_so_far()
            .contains(":2:8: error: expected a text in quotes")
    );
    assert_eq!(proc::await_all_traced(one.pid()), tracer);

    let rule = "on_fault = \"deliver\"\n[service.report]\nformats = [\"json\"]\n";
    scene.configure(&format!(
        "{}{rule}{}unknown = 1\n",
        by_pid("one", one.pid()),
        by_pid("two", two.pid())
    ));
    daemon.signal(Signal::SIGHUP);
    proc::await_all_traced(two.pid());
    assert_eq!(proc::await_all_traced(one.pid()), tracer);
    assert!(daemon.stderr_so_far().contains("warning: unknown key 'unknown'"));

    scene.configure(&by_pid("two", two.pid()));
    daemon.signal(Signal::SIGHUP);
    proc::assert_let_go(one.pid());
    proc::await_all_traced(two.pid());
}

#[test]
fn a_killed_daemon_lets_go_and_the_next_takes_up_again() {
    let mut program = workers();
    let scene = Scene::configured(&by_pid("one", program.pid()));
    let mut daemon = scene.start();
    proc::await_all_traced(program.pid());
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    proc::assert_let_go(program.pid());

    let daemon = scene.start();
    proc::await_all_traced(program.pid());
    program.write("go\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    scene.sickbay.awaited_report();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.finish().code(), 0);
}

#[test]
fn a_configuration_with_errors_does_not_start() {
    let scene = Scene::configured("[[service]]\nname = \"a\"\npid = 0\n");
    let outcome = scene.start().finish();
    assert_eq!(outcome.code(), 78, "{outcome:#?}");
    assert!(outcome.stderr.contains("daemon.toml:3:7: error:"), "{outcome:#?}");
}

#[test]
fn a_service_is_released_for_a_debugger_and_held_again() {
    let mut program = workers();
    let scene = Scene::configured(&by_pid("one", program.pid()));
    let _daemon = scene.start();
    let tracer = proc::await_all_traced(program.pid());
    let status = await_that("threads counted", || {
        Some(scene.status("one")).filter(|status| status["threads"] == 5)
    });
    assert_eq!(status["state"], "held");
    assert_eq!(status["pids"][0], program.pid());
    let listed = scene.ask(&["threads", "one"]);
    assert!(listed.stdout.contains("worker-2"), "{listed:#?}");

    assert_eq!(scene.ask(&["release", "one"]).code(), 0);
    // Whoever is told that it is done may attach at once.
    assert!(proc::tasks(program.pid()).iter().all(|task| task.tracer == 0));
    assert_eq!(scene.status("one")["state"], "released");
    let table = scene.ask(&["status"]);
    assert!(
        table.stdout.contains("'sickbay hold one' takes it up again"),
        "{table:#?}"
    );

    assert_eq!(scene.ask(&["hold", "one"]).code(), 0);
    assert_ne!(proc::await_all_traced(program.pid()), tracer);
    program.write("go\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    await_that("the report counted", || {
        (scene.status("one")["reports"] == 1).then_some(())
    });
}

#[test]
fn a_service_is_captured_by_the_daemon_that_holds_it() {
    let program = workers();
    let scene = Scene::configured(&by_pid("one", program.pid()));
    let _daemon = scene.start();
    proc::await_all_traced(program.pid());
    let outcome = scene.ask(&["capture", "one"]);
    assert_eq!(outcome.code(), 0, "{outcome:#?}");
    let report = scene.sickbay.only_report();
    assert_eq!(outcome.stdout.trim(), report.directory().to_str().unwrap());
    assert_eq!(report.text("kind"), "capture");
    proc::assert_goes_on(program.pid());
}

#[test]
fn monitoring_is_told_numbers() {
    let mut one = workers();
    let scene = Scene::configured(&by_pid("one", one.pid()));
    let _daemon = scene.start();
    proc::await_all_traced(one.pid());
    one.write("go\n");
    assert_eq!(one.ended(), Ended::Killed(libc::SIGSEGV, false));
    let report =
        "sickbay_reports_total{service=\"one\",kind=\"fault\",signal=\"SIGSEGV\",action=\"deliver\"} 1";
    let text = await_that("the report to be counted", || {
        let text = scene.ask(&["metrics"]).stdout;
        text.lines().any(|line| line == report).then_some(text)
    });
    assert!(
        text.contains("\nsickbay_service_threads{service=\"one\"} "),
        "{text}"
    );

    match found_in_path("promtool") {
        None => skip("promtool is not installed, which knows the conventions"),
        Some(promtool) => {
            let mut check = spawn(Command::new(promtool).args(["check", "metrics"]));
            check.write(&text);
            check.close_stdin();
            let checked = check.finish();
            assert_eq!(checked.code(), 0, "{checked:#?}");
        }
    }

    let file = scene.sickbay.scratch().join("sickbay.prom");
    let written = scene.ask(&["metrics", "--textfile", file.to_str().unwrap()]);
    assert_eq!(written.code(), 0, "{written:#?}");
    assert!(std::fs::read_to_string(&file).unwrap().contains(report));

    let curl = Command::new("curl")
        .args(["--silent", "--fail", "http://localhost/metrics", "--unix-socket"])
        .arg(scene.socket())
        .output();
    let Ok(curl) = curl else {
        return skip("curl is not installed");
    };
    assert!(curl.status.success(), "{curl:?}");
    assert!(String::from_utf8(curl.stdout).unwrap().contains(report));
}

#[test]
fn each_refusal_has_its_status() {
    let scene = Scene::configured(&by_pid("one", std::process::id().cast_signed()));
    let nobody = scene.ask(&["status"]);
    assert_eq!(nobody.code(), 3, "{nobody:#?}");
    let mut daemon = scene.start();
    daemon.stderr_line("sickbay: one: ");
    await_that("the socket", || scene.socket().exists().then_some(()));
    let unknown = scene.ask(&["release", "two"]);
    assert_eq!(unknown.code(), 4, "{unknown:#?}");
    scene.configure("[[service]]\nname = 1\n");
    let bad = scene.ask(&["reload"]);
    assert_eq!(bad.code(), 78, "{bad:#?}");
    assert!(bad.stderr.contains("daemon.toml:2:8: error:"), "{bad:#?}");
}

/// Who may connect may ask how things are; what changes anything is for root.
#[test]
fn others_may_read_and_change_nothing() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let program = workers();
    let scene = Scene::configured(&by_pid("one", program.pid()));
    let _daemon = scene.start();
    proc::await_all_traced(program.pid());
    await_that("the socket", || scene.socket().exists().then_some(()));
    let as_nobody = |verb: &[&str]| {
        let mut command = unprivileged(Sickbay::program());
        run(command.args(verb).arg("--socket").arg(scene.socket()))
    };
    let shut = as_nobody(&["status"]);
    assert_eq!(shut.code(), 5, "{shut:#?}");
    for (path, mode) in [
        (scene.sickbay.scratch().to_owned(), 0o755),
        (scene.socket(), 0o666),
    ] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    assert_eq!(as_nobody(&["status", "one"]).code(), 0);
    for verb in ["release", "hold", "capture"] {
        let refused = as_nobody(&[verb, "one"]);
        assert_eq!(refused.code(), 5, "{refused:#?}");
    }
    assert_eq!(as_nobody(&["reload"]).code(), 5);
    proc::await_all_traced(program.pid());
}

/// Clients that say nothing, say half a thing or do not read cost the others nothing.
#[test]
fn hostile_clients_stall_nobody() {
    let mut program = workers();
    let scene = Scene::configured(&by_pid("one", program.pid()));
    let _daemon = scene.start();
    proc::await_all_traced(program.pid());
    await_that("the socket", || scene.socket().exists().then_some(()));
    let mut silent = Vec::new();
    for number in 0..12 {
        let mut client = UnixStream::connect(scene.socket()).unwrap();
        match number % 3 {
            0 => client.write_all(b"{\"verb\":\"sta").unwrap(),
            // Asks without end and reads nothing; past the bound the daemon stops reading.
            1 => {
                client.set_nonblocking(true).unwrap();
                while client.write(b"{\"verb\":\"status\"}\n").is_ok() {}
            }
            _ => {}
        }
        silent.push(client);
    }
    assert_eq!(scene.status("one")["state"], "held");
    program.write("go\n");
    assert_eq!(program.ended(), Ended::Killed(libc::SIGSEGV, false));
    scene.sickbay.awaited_report();
}

/// The messages that the daemon sends to the socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    seen: String,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            seen: String::new(),
        }
    }

    /// Waits for a line that begins so, after all that was expected before.
    #[track_caller]
    fn expect(&mut self, line: &str) {
        let mut buffer = [0; 4096];
        await_that(line, || {
            while let Ok(length) = self.socket.recv(&mut buffer) {
                self.seen
                    .push_str(std::str::from_utf8(&buffer[..length]).unwrap());
                self.seen.push('\n');
            }
            let place = self.seen.find(line)?;
            self.seen.drain(..place + line.len());
            Some(())
        });
    }
}

#[test]
fn the_service_manager_hears_everything_in_order() {
    if !cfg!(feature = "systemd") {
        return skip("built without the feature systemd");
    }
    let program = workers();
    let scene = Scene::configured(&by_pid("one", program.pid()));
    let socket = scene.sickbay.scratch().join("notify");
    let mut manager = Manager::at(&socket);
    let daemon = spawn(
        scene
            .command()
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "400000"),
    );
    manager.expect("EXTEND_TIMEOUT_USEC=");
    manager.expect("READY=1");
    proc::await_all_traced(program.pid());
    manager.expect("STATUS=1 service, 1 process, 5 threads supervised");
    manager.expect("WATCHDOG=1");
    daemon.signal(Signal::SIGHUP);
    manager.expect("RELOADING=1\nMONOTONIC_USEC=");
    manager.expect("READY=1");
    manager.expect("WATCHDOG=1");
    daemon.signal(Signal::SIGTERM);
    manager.expect("STOPPING=1");
    assert_eq!(daemon.finish().code(), 0);
    proc::assert_let_go(program.pid());
}
