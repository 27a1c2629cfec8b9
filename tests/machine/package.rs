//! The Debian package: it installs, upgrades, removes and purges cleanly, and what it supervises notices none of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Machine, await_that};

const UNIT: &str = "[Service]\nExecStart=/opt/crashy\nRestart=on-failure\n";
const CONFIGURATION: &str = "[[service]]\nname = \"api\"\nunit = \"api.service\"\n";

/// What the README shows a command to print, from where it speaks of the machine's service.
fn shown(command: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## As the machine's service\n").unwrap();
    let prompt = format!("$ {command}\n");
    let (_, after) = section.split_once(&prompt).expect("the command is in the README");
    let output = after
        .lines()
        .take_while(|line| !line.starts_with("```") && !line.starts_with("$ "));
    output.map(plain).filter(|line| !line.is_empty()).collect()
}

/// A line without what differs from machine to machine and from run to run: numbers, paths, ids, the time.
fn plain(line: &str) -> String {
    let words = line
        .split_whitespace()
        .filter(|word| !word.contains('/') && !word.contains("Z-"));
    let words = words.map(|word| word.replace(|c: char| c.is_ascii_digit(), ""));
    words.collect::<Vec<_>>().join(" ")
}

/// Requires that the command prints every line that the README shows, whatever else it prints.
#[track_caller]
fn prints_what_is_shown(machine: &Machine, command: &str) {
    let words: Vec<&str> = command.split(' ').filter(|word| *word != "sudo").collect();
    await_that(&format!("'{command}' as in the README"), || {
        let printed = machine.must(&words);
        // Whose line comes first depends on the journal.
        let lines: Vec<String> = printed.lines().map(plain).collect();
        let missing = shown(command).into_iter().find(|line| !lines.contains(line));
        if let Some(line) = &missing {
            eprintln!("no line '{line}' in\n{printed}");
        }
        missing.is_none().then_some(())
    });
}

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
    for (packed, current) in [
        ("zcat /usr/share/man/man1/sickbay.1.gz", "sickbay man"),
        (
            "cat /usr/share/bash-completion/completions/sickbay",
            "sickbay completions bash",
        ),
        (
            "cat /usr/share/zsh/vendor-completions/_sickbay",
            "sickbay completions zsh",
        ),
        (
            "cat /usr/share/fish/vendor_completions.d/sickbay.fish",
            "sickbay completions fish",
        ),
        (
            "cat /usr/share/sickbay/sickbay.schema.json",
            "sickbay config schema",
        ),
    ] {
        let text = |command: &str| machine.must(&["sh", "-c", command]);
        assert_eq!(text(packed), text(current), "{packed}");
    }
    let catalog = machine.must(&["journalctl", "--list-catalog"]);
    assert!(catalog.contains("Sickbay recorded an incident"));

    // Where an administrator writes what is watched.
    machine.must(&["test", "-d", "/etc/sickbay/conf.d"]);
    machine.must(&["systemctl", "start", "api.service"]);
    let api = machine.main_pid("api.service");
    machine.write("/etc/sickbay/conf.d/api.toml", CONFIGURATION);
    machine.must(&["systemctl", "reload", "sickbay.service"]);
    machine.await_traced(api);
    prints_what_is_shown(&machine, "sudo sickbay status");

    // The first report.
    machine.must(&["kill", "-USR1", &api.to_string()]);
    machine.await_reports(1);
    let api = await_that("a restart", || {
        let pid = machine.main_pid("api.service");
        (pid != api && pid != 0).then_some(pid)
    });
    machine.await_traced(api);
    for command in [
        "journalctl --unit api --output cat",
        "sudo sickbay list --service api",
        "sudo sickbay show latest",
    ] {
        prints_what_is_shown(&machine, command);
    }

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
