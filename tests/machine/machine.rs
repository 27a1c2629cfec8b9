//! A booted machine: an overlay of `/`, `systemd-nspawn`, and a way in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::await_that;

/// Where the hierarchies are in which a machine gets groups of its own.
const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/systemd",
];
/// What the host's own system would start, and a machine of a test does not.
const TARGET: &str = "systemd.unit=basic.target";

/// A machine that runs, or is about to.
pub(crate) struct Machine {
    name: String,
    directory: TempDir,
    groups: Vec<PathBuf>,
    nspawn: Option<Child>,
    init: i32,
}

/// What a command inside a machine printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    /// A machine with Sickbay in `/usr/bin` and the units of `packaging`, not booted yet. None where that is
    /// impossible; it is said why.
    pub(crate) fn new() -> Option<Self> {
        let machine = Self::bare()?;
        machine.copy(Path::new(env!("CARGO_BIN_EXE_sickbay")), "/usr/bin/sickbay");
        for (file, place) in [
            ("sickbay.service", "/usr/lib/systemd/system/sickbay.service"),
            ("sickbay.catalog", "/usr/lib/systemd/catalog/sickbay.catalog"),
            ("sickbay.sysusers", "/usr/lib/sysusers.d/sickbay.conf"),
        ] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file);
            machine.write(place, &fs::read_to_string(from).unwrap());
        }
        Some(machine)
    }

    /// A machine without Sickbay.
    pub(crate) fn bare() -> Option<Self> {
        let obstacle = if !nix::unistd::geteuid().is_root() {
            Some("root is needed to boot a machine")
        } else if !Path::new("/usr/bin/systemd-nspawn").exists() {
            Some("systemd-nspawn is not installed")
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            eprintln!("skipped: {obstacle}");
            return None;
        }
        let directory = tempfile::Builder::new()
            .prefix("sickbay-machine-")
            .tempdir()
            .unwrap();
        let name = directory
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('.', "");
        let machine = Self {
            name,
            directory,
            groups: Vec::new(),
            nspawn: None,
            init: 0,
        };
        if let Err(errno) = machine.assemble() {
            eprintln!(
                "skipped: cannot mount an overlay of the root here: {}",
                errno.desc()
            );
            return None;
        }
        machine.write("/etc/machine-id", &format!("{:032x}\n", unique()));
        // By which images of containers keep packages from starting services.
        let _ = fs::remove_file(machine.path("/usr/sbin/policy-rc.d"));
        Some(machine)
    }

    fn assemble(&self) -> nix::Result<()> {
        let top = self.directory.path();
        let none = None::<&str>;
        mount(Some("tmpfs"), top, Some("tmpfs"), MsFlags::empty(), none)?;
        let [upper, work, root] = ["upper", "work", "root"].map(|name| top.join(name));
        for path in [&upper, &work, &root] {
            fs::create_dir(path).unwrap();
        }
        let options = format!(
            "lowerdir=/,upperdir={},workdir={}",
            upper.display(),
            work.display()
        );
        mount(
            Some("overlay"),
            &root,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
    }

    /// A path of the machine, as seen from outside.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory
            .path()
            .join("root")
            .join(path.trim_start_matches('/'))
    }

    /// Writes a file, with the directories above it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Copies a program in.
    pub(crate) fn copy(&self, from: &Path, to: &str) {
        let file = self.path(to);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&file);
        fs::copy(from, &file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Copies a sample program to `/opt/NAME`.
    #[track_caller]
    pub(crate) fn fixture(&self, name: &str) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/programs")
            .join(name);
        assert!(
            program.exists(),
            "{} is missing: run `make programs`",
            program.display()
        );
        self.copy(&program, &format!("/opt/{name}"));
    }

    /// Writes a unit of the machine's own.
    pub(crate) fn unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), text);
    }

    /// Boots, and waits until the machine has come up.
    #[track_caller]
    pub(crate) fn boot(&mut self) {
        self.groups = HIERARCHIES
            .map(Path::new)
            .into_iter()
            .filter(|hierarchy| hierarchy.join("cgroup.procs").exists())
            .map(|hierarchy| hierarchy.join(&self.name))
            .filter(|group| fs::create_dir(group).is_ok())
            .collect();
        // systemd-nspawn puts its groups below the one that it is started in.
        let join: String = self
            .groups
            .iter()
            .map(|group| format!("echo $$ >{}/cgroup.procs; ", group.display()))
            .collect();
        let root = self.path("/");
        let nspawn = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("{join} exec systemd-nspawn \"$@\""))
            .args([
                "sh",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--private-network",
                "--capability=CAP_CHECKPOINT_RESTORE",
                "--boot",
            ])
            .args(["--console=pipe", "-M", &self.name, "-D"])
            .arg(root)
            .arg(TARGET)
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.directory.path().join("console")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = nspawn.id().cast_signed();
        self.nspawn = Some(nspawn);
        self.init = await_that("the machine's first process", || {
            children(pid).into_iter().find(|child| comm(*child) == "systemd")
        });
        await_that("the machine to come up", || {
            let state = self.run(&["systemctl", "is-system-running"]).stdout;
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
    }

    /// Runs a command inside.
    pub(crate) fn run(&self, command: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("nsenter")
            .args([
                "-t",
                &self.init.to_string(),
                "-a",
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            ])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs a command inside that must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn must(&self, command: &[&str]) -> String {
        let said = self.run(command);
        assert_eq!(said.code, Some(0), "{command:?}: {said:#?}\n{}", self.log());
        said.stdout
    }

    /// A property of a unit, as `systemctl show` prints it.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let property = format!("--property={name}");
        self.must(&["systemctl", "show", "--value", &property, unit])
            .trim()
            .to_owned()
    }

    /// The main process of a unit, by its id inside.
    #[track_caller]
    pub(crate) fn main_pid(&self, unit: &str) -> i32 {
        self.property(unit, "MainPID").parse().unwrap()
    }

    /// Entries of the journal, as its own JSON.
    #[track_caller]
    pub(crate) fn journal(&self, arguments: &[&str]) -> Vec<Value> {
        let command = [&["journalctl", "--output=json", "--no-pager"], arguments].concat();
        let text = self.must(&command);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Everything that Sickbay said in the journal, for the message of a failed test.
    pub(crate) fn log(&self) -> String {
        self.run(&["journalctl", "--no-pager", "--unit=sickbay.service", "--lines=40"])
            .stdout
    }

    /// Waits until every thread of a process inside is traced.
    #[track_caller]
    pub(crate) fn await_traced(&self, pid: i32) {
        let script = format!("cat /proc/{pid}/task/*/status 2>/dev/null");
        await_that(&format!("every thread of {pid} traced; {}", self.log()), || {
            let text = self.run(&["sh", "-c", &script]).stdout;
            let tracers: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("TracerPid:"))
                .collect();
            (!tracers.is_empty() && tracers.iter().all(|tracer| tracer.trim() != "0")).then_some(())
        });
    }

    /// Every complete report, oldest first, as JSON.
    pub(crate) fn reports(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.path("/var/lib/sickbay/reports")) else {
            return Vec::new();
        };
        let read = |path: PathBuf| serde_json::from_slice(&fs::read(path.join("report.json")).ok()?).ok();
        let mut reports: Vec<Value> = entries.filter_map(|entry| read(entry.ok()?.path())).collect();
        reports.sort_by_key(|report| report["time"].to_string());
        reports
    }

    /// Waits for that many complete reports.
    #[track_caller]
    pub(crate) fn await_reports(&self, count: usize) -> Vec<Value> {
        await_that(&format!("{count} reports; {}", self.log()), || {
            let reports = self.reports();
            let whole = reports
                .iter()
                .filter(|report| report["incomplete"][0]["step"] != "report");
            (whole.count() >= count).then_some(reports)
        })
    }

    /// Installs a configuration and starts Sickbay's unit.
    #[track_caller]
    pub(crate) fn start_sickbay(&self, configuration: &str) {
        self.write("/etc/sickbay/sickbay.toml", configuration);
        self.must(&["systemctl", "start", "sickbay.service"]);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.init > 0 {
            // The end of the first process is the end of all in its pid namespace.
            let _ = kill(Pid::from_raw(self.init), Signal::SIGKILL);
        }
        if let Some(mut nspawn) = self.nspawn.take() {
            let _ = nspawn.wait();
        }
        for group in &self.groups {
            remove_groups(group);
        }
        // Never below a mount that is still there: the overlay shows this system's own files.
        let unmounted = umount2(&self.path("/"), MntFlags::MNT_DETACH).is_ok();
        if unmounted || !self.path("/etc").exists() {
            let _ = umount2(self.directory.path(), MntFlags::MNT_DETACH);
        } else {
            self.directory.disable_cleanup(true);
        }
    }
}

/// Removes a control group and those below it, once they are empty.
fn remove_groups(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&below.path());
        }
    }
    let start = std::time::Instant::now();
    while fs::remove_dir(group).is_err() && group.exists() && start.elapsed() < crate::DEADLINE {
        std::thread::yield_now();
    }
}

fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

fn comm(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    text.trim_end().to_owned()
}

fn unique() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    u128::from_ne_bytes(bytes)
}
