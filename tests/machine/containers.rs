//! What containers get: a static program that needs nothing beside it, and examples that hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const TARGET: &str = "x86_64-unknown-linux-musl";

/// The static program, if it was built.
fn program() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(TARGET);
    let built = ["release", "debug"].map(|profile| target.join(profile).join("sickbay"));
    let newest = built
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    if newest.is_none() {
        eprintln!("skipped: there is no static program; build it with 'make static'");
    }
    newest.map(|(_, path)| path)
}

fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn the_static_program_reports_a_fault_where_there_is_nothing_else() {
    let Some(program) = program() else {
        return;
    };
    let headers = output(
        Command::new("readelf")
            .args(["--program-headers", "--dynamic"])
            .arg(&program),
    );
    let headers = String::from_utf8_lossy(&headers.stdout).into_owned();
    assert!(!headers.contains("INTERP"), "it wants a loader: {headers}");
    assert!(!headers.contains("(NEEDED)"), "it wants libraries: {headers}");

    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: root is needed for a root of its own");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let inside = |name: &str| root.path().join(name);
    // What every runtime provides.
    for directory in ["proc", "dev"] {
        fs::create_dir(inside(directory)).unwrap();
    }
    fs::copy(&program, inside("sickbay")).unwrap();
    let source = inside("null.c");
    fs::write(&source, "int main(void) { *(volatile int *)8 = 1; return 0; }\n").unwrap();
    output(
        Command::new("gcc")
            .args(["-static", "-g", "-o"])
            .arg(inside("null"))
            .arg(&source),
    );
    fs::set_permissions(inside("null"), fs::Permissions::from_mode(0o755)).unwrap();
    // A mount namespace of its own: /proc is gone with the command.
    let script = format!(
        "mount -t proc proc {0}/proc && mount --bind /dev {0}/dev && exec chroot {0} /sickbay run --state-dir /reports -- /null",
        root.path().display()
    );
    let run = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", &script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(128 + libc::SIGSEGV), "{said}");
    let list = output(Command::new("chroot").arg(root.path()).args([
        "/sickbay",
        "show",
        "--state-dir",
        "/reports",
        "--json",
    ]));
    let report: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(report["signal"]["name"], "SIGSEGV", "{said}");
    assert_eq!(report["fault"]["cause"], "null pointer dereference", "{report:#}");
    let function = report["threads"][0]["frames"][0]["symbol"].as_str();
    assert_eq!(function, Some("main"), "{report:#}");
}

/// They are YAML, their configuration has no problem, and their command is one that the program knows.
#[test]
fn the_examples_for_kubernetes_hold() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["sidecar.yaml", "daemonset.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("packaging/containers")
            .join(name);
        let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
        let parsed = Command::new("python3")
            .args(["-c", script])
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            parsed.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&parsed.stderr)
        );
        let documents: Vec<Value> = serde_json::from_slice(&parsed.stdout).unwrap();
        let text = documents[0]["data"]["sickbay.toml"].as_str().unwrap();
        let file = scratch.path().join("sickbay.toml");
        fs::write(&file, text).unwrap();
        let sickbay = env!("CARGO_BIN_EXE_sickbay");
        output(Command::new(sickbay).arg("check").arg(&file));

        let spec = match documents[1]["kind"].as_str() {
            Some("Pod") => &documents[1]["spec"],
            _ => &documents[1]["spec"]["template"]["spec"],
        };
        let shares = spec["shareProcessNamespace"] == true || spec["hostPID"] == true;
        assert!(shares, "{name}: it sees nobody's processes");
        let containers = spec["containers"].as_array().unwrap();
        let ours = containers
            .iter()
            .find(|container| container["name"] == "sickbay")
            .unwrap();
        let added = ours["securityContext"]["capabilities"]["add"].as_array().unwrap();
        assert!(added.contains(&"SYS_PTRACE".into()), "{name}");
        let mut command = ours["command"].as_array().unwrap().iter().skip(1);
        let mut daemon = Command::new(sickbay);
        while let Some(word) = command.next().and_then(Value::as_str) {
            let value = match word {
                "--config" => Some(file.clone()),
                "--state-dir" => Some(scratch.path().join("reports")),
                _ => None,
            };
            daemon.arg(word);
            if let Some(value) = value {
                command.next();
                daemon.arg(value);
            }
        }
        // It starts with them, and ends as it is told.
        let mut daemon = daemon
            .arg("--socket")
            .arg(scratch.path().join("control.sock"))
            .spawn()
            .unwrap();
        let socket = scratch.path().join("control.sock");
        crate::await_that("the daemon to answer", || {
            let status = Command::new(sickbay)
                .args(["status", "--socket"])
                .arg(&socket)
                .output();
            status.is_ok_and(|output| output.status.success()).then_some(())
        });
        let pid = nix::unistd::Pid::from_raw(daemon.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(daemon.wait().unwrap().success(), "{name}");
    }
}
