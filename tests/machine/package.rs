//! The Debian package: it installs, upgrades, removes and purges cleanly, and what it supervises notices none of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Machine, await_that};

const UNIT: &str = "[Service]\nExecStart=/opt/crashy\nRestart=on-failure\n";
const CONFIGURATION: &str = "[[service]]\nname = \"api\"\nunit = \"api.service\"\n";

/// Packs the program under test; false where that is impossible, with the reason on stderr.
fn pack(directory: &Path, package: &Path) -> bool {
    let cargo = Command::new("cargo").args(["deb", "--version"]).output();
    if !cargo.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: cargo-deb is not installed");
        return false;
    }
    // Most of a test's program is symbols.
    let program = directory.join("sickbay");
    let mut strip = Command::new("strip");
    run(strip.arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_sickbay")));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build-deb");
    run(Command::new(script)
        .arg(program)
        .arg(package)
        .args(["--fast", "--quiet"]));
    true
}

/// The same package with a later version.
fn later(directory: &Path, package: &Path, later: &Path) {
    let tree = directory.join("tree");
    run(Command::new("dpkg-deb")
        .arg("--raw-extract")
        .arg(package)
        .arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    fs::write(&control, text.replace("\nVersion: ", "\nVersion: 1:")).unwrap();
    run(Command::new("dpkg-deb")
        .args(["-Znone", "--build"])
        .arg(tree)
        .arg(later));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn it_comes_and_goes_and_the_service_notices_nothing() {
    let Some(mut machine) = Machine::bare() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["first.deb", "second.deb"].map(|name| directory.path().join(name));
    if !pack(directory.path(), &first) {
        return;
    }
    later(directory.path(), &first, &second);
    machine.copy(&first, "/opt/first.deb");
    machine.copy(&second, "/opt/second.deb");
    machine.fixture("crashy");
    machine.unit("api.service", UNIT);
    machine.boot();

    machine.must(&["dpkg", "--install", "/opt/first.deb"]);
    assert_eq!(machine.property("sickbay.service", "ActiveState"), "active");
    assert_eq!(machine.property("sickbay.service", "UnitFileState"), "enabled");
    machine.must(&["systemd-analyze", "verify", "sickbay.service"]);
    let status = machine.run(&["sickbay", "status"]);
    assert_eq!((status.code, &*status.stdout), (Some(0), ""), "{status:#?}");
    assert!(status.stderr.contains("no service is configured"), "{status:#?}");
    let defaults = machine.must(&["sickbay", "config", "defaults"]);
    let conffile = machine.must(&["cat", "/etc/sickbay/sickbay.toml"]);
    assert_eq!(conffile, defaults);
    let groups = machine.must(&["stat", "--format=%G", "/run/sickbay/control.sock"]);
    assert_eq!(groups, "sickbay\n");
    assert!(machine.must(&["man", "--where", "sickbay-run"]).contains("man1"));
    let completions = "/usr/share/bash-completion/completions/sickbay";
    let completed = machine.must(&["bash", "-c", &format!(". {completions}; complete -p sickbay")]);
    assert!(completed.contains("sickbay"), "{completed}");
    let catalog = machine.must(&["journalctl", "--list-catalog"]);
    assert!(catalog.contains("Sickbay recorded an incident"));

    machine.must(&["systemctl", "start", "api.service"]);
    let api = machine.main_pid("api.service");
    machine.write("/etc/sickbay/conf.d/api.toml", CONFIGURATION);
    machine.must(&["systemctl", "reload", "sickbay.service"]);
    machine.await_traced(api);

    // The first report.
    machine.must(&["kill", "-USR1", &api.to_string()]);
    machine.await_reports(1);
    let api = await_that("a restart", || {
        let pid = machine.main_pid("api.service");
        (pid != api && pid != 0).then_some(pid)
    });
    machine.await_traced(api);
    let list = machine.must(&["sickbay", "list", "--service", "api"]);
    assert!(list.contains("SIGSEGV"), "{list}");

    // An upgrade restarts the daemon; it takes up what runs on.
    let before = machine.main_pid("sickbay.service");
    machine.must(&["sh", "-c", "echo '# mine' >>/etc/sickbay/sickbay.toml"]);
    machine.must(&["dpkg", "--install", "/opt/second.deb"]);
    assert_ne!(machine.main_pid("sickbay.service"), before);
    machine.await_traced(api);
    assert!(
        machine
            .must(&["cat", "/etc/sickbay/sickbay.toml"])
            .ends_with("# mine\n")
    );

    machine.must(&["dpkg", "--remove", "sickbay"]);
    let untraced = format!("! grep -h TracerPid /proc/{api}/task/*/status | grep -v '\\b0$'");
    await_that("the service let go of", || {
        (machine.run(&["sh", "-c", &untraced]).code == Some(0)).then_some(())
    });
    assert_eq!(machine.main_pid("api.service"), api);
    assert!(machine.path("/etc/sickbay/sickbay.toml").exists());
    assert!(!machine.path("/usr/bin/sickbay").exists());

    machine.must(&["rm", "/etc/sickbay/conf.d/api.toml"]);
    machine.must(&["dpkg", "--purge", "sickbay"]);
    let left = machine.must(&["find", "/etc", "/usr", "/var/lib", "/run", "-iname", "*sickbay*"]);
    assert_eq!(left, "", "left behind");
    assert_eq!(machine.main_pid("api.service"), api);
}
