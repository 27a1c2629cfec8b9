//! What a supervisor is started with belongs to its program: streams, other descriptors, the terminal behind them.
//!
//! Whoever reads from the program, or feeds it, learns of its closing a stream when it does; and whoever does not read
//! what the supervisor has to say keeps nobody waiting.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::support::{Running, Sickbay, await_that, fixture, proc, spawn};

/// A named pipe that is full, and that nobody reads.
struct FullPipe {
    path: PathBuf,
    pipe: File,
}

impl FullPipe {
    fn in_directory(directory: &Path) -> Self {
        let path = directory.join("full");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut options = File::options();
        let mut pipe = options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        while pipe.write(&[b'.'; 4096]).is_ok() {}
        while pipe.write(b".").is_ok() {}
        Self { path, pipe }
    }

    /// Everything that is in it, and what comes while it is read.
    fn drain(&mut self) -> String {
        let mut bytes = vec![0; 1 << 20];
        let size = self.pipe.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..size]).into_owned()
    }
}

/// The same command with its stderr on that pipe.
fn with_stderr(pipe: &FullPipe, command: &Command) -> Running {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 2>\"$0\"; exec \"$@\""]).arg(&pipe.path);
    shell.arg(command.get_program()).args(command.get_args());
    spawn(&mut shell)
}

#[test]
fn a_reader_of_stderr_that_sleeps_delays_nothing() {
    let sickbay = Sickbay::new();
    let full = FullPipe::in_directory(sickbay.scratch());
    let mut supervisor = with_stderr(
        &full,
        &sickbay.run_command(fixture("workers"), &["8", "3", "stdin"]),
    );
    supervisor.stdout_line("ready");
    supervisor.write("go\n");
    assert_eq!(supervisor.finish().code(), 139);
    assert_eq!(sickbay.only_report().text("fault.thread_name"), "worker-3");
}

/// Nor does it delay the processes of a service that was attached, or letting go.
#[test]
fn it_does_not_delay_what_is_attached() {
    let sickbay = Sickbay::new();
    let mut full = FullPipe::in_directory(sickbay.scratch());
    let mut program = spawn(&mut Command::new(fixture("obey")));
    program.stdout_line("ready");
    let supervisor = with_stderr(&full, &sickbay.attach_command(program.pid()));
    proc::await_all_traced(program.pid());
    program.signal(Signal::SIGUSR1);
    program.stdout_line("took SIGUSR1");
    await_that("the line about the attachment", || {
        full.drain().contains("attached: 1 process,").then_some(())
    });
    supervisor.signal(Signal::SIGINT);
    assert_eq!(supervisor.finish().code(), 0);
    proc::assert_let_go(program.pid());
}

/// A pipe whose write end every child of this process inherits.
fn inherited_pipe() -> (File, OwnedFd) {
    let (read, write) = std::io::pipe().unwrap();
    let write = OwnedFd::from(write);
    fcntl(&write, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    (OwnedFd::from(read).into(), write)
}

#[test]
fn what_the_program_closes_is_closed() {
    let sickbay = Sickbay::new();
    let (mut inherited, write) = inherited_pipe();
    let script = format!(
        "echo through >&{0}; exec {0}>&-; echo closed; exec >&-; read line; exit 7",
        write.as_raw_fd()
    );
    let mut supervisor = sickbay.start("/bin/bash", &["-c", &script]);
    drop(write);
    supervisor.stdout_line("closed");
    let mut text = String::new();
    inherited.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through\n");
    supervisor.await_end_of_stdout();
    supervisor.write("go on\n");
    assert_eq!(supervisor.finish().code(), 7);
}

#[test]
fn a_program_that_closes_stdin_turns_its_writer_away() {
    let sickbay = Sickbay::new();
    let script = "exec <&-; echo closed; kill -STOP $$; exit 7";
    let mut supervisor = sickbay.start("/bin/bash", &["-c", script]);
    supervisor.stdout_line("closed");
    await_that("nobody to read", || supervisor.is_turned_away().then_some(()));
}

/// The pipes that a process has open.
fn pipes(pid: i32) -> Vec<PathBuf> {
    let directory = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    directory
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("pipe:"))
        .collect()
}

/// The tracer could be kept waiting by whatever it inherits, and keep open what the program has closed.
#[test]
fn a_tracer_has_nothing_of_its_callers() {
    let sickbay = Sickbay::new();
    let (_inherited, write) = inherited_pipe();
    let mut supervisor = sickbay.start(fixture("die"), &["wait"]);
    drop(write);
    let program: i32 = supervisor.stdout_line("ready").parse().unwrap();
    let tracer = proc::await_all_traced(program);
    let stderr = std::fs::read_link(format!("/proc/{program}/fd/2")).unwrap();
    let of_the_program = pipes(program);
    assert!(of_the_program.len() >= 4, "{of_the_program:?}");
    let shared_with = |pid| {
        let own = pipes(pid);
        of_the_program
            .iter()
            .filter(|path| own.contains(path))
            .collect::<Vec<_>>()
    };
    assert_eq!(shared_with(supervisor.pid()), [&stderr]);
    assert_eq!(shared_with(tracer), [] as [&PathBuf; 0]);
}
