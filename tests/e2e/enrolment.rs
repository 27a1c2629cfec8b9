//! Services that are named by control group, and processes that enrol for one.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::daemon::{Scene, workers};
use crate::support::{
    Ended, Outcome, Sickbay, await_that, fixture, is_root, proc, run, skip, spawn, unprivileged,
};

/// A control group of this test, below the root of the hierarchy; removed with it.
struct Group {
    directory: PathBuf,
}

impl Group {
    fn new() -> Option<Self> {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(Path::new)
            .into_iter()
            .find(|root| root.join("cgroup.procs").exists())?;
        let directory = root.join(format!("sickbay-test-{}", std::process::id()));
        std::fs::create_dir(&directory).ok()?;
        Some(Self { directory })
    }

    fn take(&self, pid: i32) {
        std::fs::write(self.directory.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let emptied = || std::fs::remove_dir(&self.directory).is_ok().then_some(());
        await_that("the control group to be empty", emptied);
    }
}

#[test]
fn a_control_group_is_attached_and_followed() {
    let Some(group) = is_root().then(Group::new).flatten() else {
        return skip("no right to make a control group");
    };
    let path = format!("/{}", group.directory.file_name().unwrap().to_str().unwrap());
    let sickbay = Sickbay::new();
    let empty = run(sickbay.verb("attach").args(["--cgroup", &path]));
    assert_eq!(empty.code(), 4, "{empty:#?}");
    assert!(empty.stderr.contains("has no processes"), "{empty:#?}");

    let mut first = workers();
    group.take(first.pid());
    let mut supervisor = spawn(sickbay.verb("attach").args(["--cgroup", &path]));
    assert_eq!(
        supervisor.stderr_line("sickbay: attached: "),
        "1 process, 5 threads"
    );
    first.write("go\n");
    assert_eq!(first.ended(), Ended::Killed(libc::SIGSEGV, false));
    let report = sickbay.awaited_report();
    assert_eq!(report.text("service.name"), path.trim_start_matches('/'));

    // Empty once, the group has its next process announced.
    let second = workers();
    group.take(second.pid());
    proc::await_all_traced(second.pid());
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(second.pid());
    drop(second);
}

/// A shell that joins the group and then becomes a program by way of `enroll`.
fn enrolling(scene: &Scene, group: &Group, service: &str, program: &[&str]) -> Outcome {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
    shell.arg(group.directory.join("cgroup.procs"));
    shell
        .arg(Sickbay::program())
        .args(["enroll", "--service", service]);
    shell.arg("--socket").arg(scene.socket()).arg("--");
    run(shell.arg(fixture(program[0])).args(&program[1..]))
}

#[test]
fn an_enrolled_program_is_traced_from_its_first_instruction() {
    let Some(group) = is_root().then(Group::new).flatten() else {
        return skip("no right to make a control group");
    };
    let path = format!("/{}", group.directory.file_name().unwrap().to_str().unwrap());
    let scene = Scene::configured(&format!("[[service]]\nname = \"group\"\ncgroup = \"{path}\"\n"));
    // Without a daemon it is said, and the program starts all the same.
    let alone = enrolling(&scene, &group, "group", &["die", "abort"]);
    assert_eq!(alone.ended, Ended::Killed(libc::SIGABRT, false), "{alone:#?}");
    assert_eq!(alone.messages().len(), 1, "{alone:#?}");
    assert!(alone.stderr.contains("no daemon listens"), "{alone:#?}");

    let mut daemon = scene.start();
    daemon.stderr_line("sickbay: group: ");
    let enrolled = enrolling(&scene, &group, "group", &["die", "null-write"]);
    assert_eq!(
        enrolled.ended,
        Ended::Killed(libc::SIGSEGV, false),
        "{enrolled:#?}"
    );
    assert!(enrolled.messages().is_empty(), "{enrolled:#?}");
    let report = scene.sickbay.awaited_report();
    assert_eq!(report.text("service.name"), "group");
    assert_eq!(report.text("signal.name"), "SIGSEGV");
    assert_eq!(report.text("process.comm"), "die");

    let unknown = enrolling(&scene, &group, "other", &["die", "exit"]);
    assert!(
        unknown.stderr.contains("no service 'other' is configured"),
        "{unknown:#?}"
    );
    let mut foreign = Command::new(Sickbay::program());
    foreign
        .args(["enroll", "--service", "group", "--socket"])
        .arg(scene.socket());
    let foreign = run(foreign.args(["--", "/bin/true"]));
    assert_eq!(foreign.code(), 0, "{foreign:#?}");
    assert!(
        foreign
            .stderr
            .contains("it is not in the service's control group"),
        "{foreign:#?}"
    );

    // The socket that is open to all answers nothing else.
    let mut client = UnixStream::connect(scene.socket().with_file_name("enroll.sock")).unwrap();
    client.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer).unwrap();
    assert!(answer.contains("not_permitted"), "{answer}");
}

/// Asks again and again, and prints what it hears: a request for each line of its arguments.
const ASKING: &str = "\
import socket, sys
for request in sys.argv[2:]:
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    client.sendall(request.encode() + b'\\n')
    print(client.makefile().readline(), end='', flush=True)
";

/// Whoever asks can have itself traced where it belongs, and nobody else; asking without end costs the others nothing.
#[test]
fn nobody_enrols_another_process_and_a_crowd_shuts_nobody_out() {
    let Some(group) = is_root().then(Group::new).flatten() else {
        return skip("no right to make a control group, or to become another user");
    };
    let path = format!("/{}", group.directory.file_name().unwrap().to_str().unwrap());
    let scene = Scene::configured(&format!("[[service]]\nname = \"group\"\ncgroup = \"{path}\"\n"));
    let mut daemon = scene.start();
    daemon.stderr_line("sickbay: group: ");
    let socket = scene.socket().with_file_name("enroll.sock");
    await_that("the socket", || socket.exists().then_some(()));
    std::fs::set_permissions(scene.sickbay.scratch(), PermissionsExt::from_mode(0o755)).unwrap();

    let victim = workers();
    let asks = |requests: &[String]| {
        let mut python = unprivileged(Path::new("/usr/bin/python3"));
        let asked = run(python.args(["-c", ASKING]).arg(&socket).args(requests));
        assert_eq!(asked.code(), 0, "{asked:#?}");
        asked.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let plain = "{\"verb\":\"enroll\",\"service\":\"group\"}".to_owned();
    let of_victim = format!(
        "{{\"verb\":\"enroll\",\"service\":\"group\",\"pid\":{}}}",
        victim.pid()
    );
    let release = "{\"verb\":\"release\",\"service\":\"group\"}".to_owned();
    let heard = asks(&[of_victim, release, plain.clone()]);
    assert!(heard[0].contains("malformed"), "{heard:#?}");
    assert!(heard[1].contains("not_permitted"), "{heard:#?}");
    assert!(
        heard[2].contains("it is not in the service's control group"),
        "{heard:#?}"
    );

    let heard = asks(&vec![plain; 40]);
    assert!(heard[39].contains("too many enrolments of user"), "{heard:#?}");
    assert!(
        proc::tasks(victim.pid()).iter().all(|task| task.tracer == 0),
        "somebody else's process was traced"
    );
    let enrolled = enrolling(&scene, &group, "group", &["die", "null-write"]);
    assert!(enrolled.messages().is_empty(), "{enrolled:#?}");
    let report = scene.sickbay.awaited_report();
    assert_eq!(report.text("process.comm"), "die");
}
