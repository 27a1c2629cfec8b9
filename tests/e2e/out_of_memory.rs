//! A process that the kernel kills as its control group runs out of memory: the record says so, and what says it.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Ended, Sickbay, await_that, is_root, proc, run, skip, spawn};

/// Takes 200 MB once it is told to.
const GREEDY: &str = "import sys; print('ready', flush=True); sys.stdin.readline(); taken = bytearray(b'x') * 200_000_000; print(len(taken))";
const LIMIT: &str = "33554432";

/// A control group that may use little memory; removed with it.
struct Small {
    directory: PathBuf,
}

impl Small {
    fn new() -> Option<Self> {
        let name = format!("sickbay-memory-{}", std::process::id());
        let unified = [Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/unified")]
            .map(|root| (root.join(&name), "memory.max"));
        let older = (
            Path::new("/sys/fs/cgroup/memory").join(&name),
            "memory.limit_in_bytes",
        );
        unified.into_iter().chain([older]).find_map(|(directory, limit)| {
            std::fs::create_dir(&directory).ok()?;
            let group = Self { directory };
            let file = group.directory.join(limit);
            (file.exists() && std::fs::write(file, LIMIT).is_ok()).then_some(group)
        })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let emptied = || std::fs::remove_dir(&self.directory).is_ok().then_some(());
        await_that("the control group to be empty", emptied);
    }
}

fn greedy(group: &Small) -> crate::support::Running {
    let mut program = spawn(Command::new("python3").args(["-c", GREEDY]));
    program.stdout_line("ready");
    std::fs::write(group.directory.join("cgroup.procs"), program.pid().to_string()).unwrap();
    program
}

#[test]
fn the_kernels_log_and_the_groups_counter_tell_of_it() {
    let Some(group) = is_root().then(Small::new).flatten() else {
        return skip("no control group here can be given a limit of memory");
    };
    let unshared =
        run(Command::new("unshare").args(["--mount", "mount", "--bind", "/dev/null", "/dev/kmsg"]));
    if unshared.code() != 0 {
        return skip("no right to a mount namespace in which the kernel's log is hidden");
    }
    for hidden in [false, true] {
        let sickbay = Sickbay::new();
        let mut program = greedy(&group);
        let attach = sickbay.attach_command(program.pid());
        let mut supervisor = if hidden {
            let mut without = Command::new("unshare");
            without.args([
                "--mount",
                "sh",
                "-c",
                "mount --bind /dev/null /dev/kmsg && exec \"$@\"",
                "sh",
            ]);
            without.arg(attach.get_program()).args(attach.get_args());
            for (name, value) in attach.get_envs() {
                without.env(name, value.unwrap_or_default());
            }
            spawn(&mut without)
        } else {
            let mut attach = attach;
            spawn(&mut attach)
        };
        supervisor.stderr_line("sickbay: attached: ");
        program.write("go\n");
        assert_eq!(program.ended(), Ended::Killed(libc::SIGKILL, false));
        supervisor.finish();
        let report = sickbay.only_report();
        assert_eq!(report.text("kind"), "exit");
        assert_eq!(report.text("fault.cause"), "out of memory");
        let detail = report.text("fault.detail");
        // The kernel writes its line after the signal is sent: it may come too late for us.
        let by_line = !hidden && detail.contains("Killed process ");
        assert!(by_line || detail.contains("oom_kill in "), "{detail}");
    }

    // One more that is killed in the group, but not for its memory.
    let sickbay = Sickbay::new();
    let mut program = greedy(&group);
    let (supervisor, _) = sickbay.attach(program.pid());
    proc::await_all_traced(program.pid());
    program.signal(Signal::SIGKILL);
    program.ended();
    supervisor.finish();
    assert_eq!(sickbay.only_report().text("fault.cause"), "killed");
}
