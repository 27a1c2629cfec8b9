//! Processes that a test starts: their output by lines, their end with a deadline, and nobody left behind.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::deadline::{DEADLINE, await_that, await_within};
use super::proc;

/// The environment variable by which a test finds what it started, however often it was re-parented.
const MARKER: &str = "SICKBAY_TEST_PROCESS";

/// Settings of the caller that must not reach what the tests start.
const REMOVED_VARIABLES: [&str; 5] = [
    "SICKBAY_FAIL",
    "SICKBAY_FAIL_MARK",
    "SICKBAY_FAIL_SIGNAL",
    "STATE_DIRECTORY",
    "RUST_BACKTRACE",
];

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By exit, with this status.
    Exited(i32),
    /// By this signal; the flag says whether a core was dumped.
    Killed(i32, bool),
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status.signal() {
            Some(signal) => Self::Killed(signal, status.core_dumped()),
            None => Self::Exited(status.code().unwrap()),
        }
    }
}

impl Ended {
    /// The status that a shell, and `sickbay run`, gives to this end: 128 + n for signal n.
    pub(crate) fn as_exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal, _) => 128 + signal,
        }
    }
}

/// A finished process: its end and everything it wrote.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) ended: Ended,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The exit status; fails if a signal ended the process.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        match self.ended {
            Ended::Exited(code) => code,
            Ended::Killed(signal, _) => panic!("killed by signal {signal}: {self:#?}"),
        }
    }

    /// The lines on stderr that the supervisor wrote.
    pub(crate) fn messages(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with("sickbay:"))
            .collect()
    }

    /// The lines on stderr that the supervised program wrote.
    pub(crate) fn program_stderr(&self) -> String {
        self.stderr
            .lines()
            .filter(|line| !line.starts_with("sickbay:"))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

/// A process in the background. Dropping it ends it and everything that descends from it.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
    marker: String,
    described: String,
}

/// Starts a command with its three streams piped and marked as this test's.
#[track_caller]
pub(crate) fn spawn(command: &mut Command) -> Running {
    prepare_this_process();
    let marker = new_marker();
    for variable in REMOVED_VARIABLES {
        // Set explicitly by a test, a variable is kept.
        if !command.get_envs().any(|(name, _)| name == OsStr::new(variable)) {
            command.env_remove(variable);
        }
    }
    command.env(MARKER, &marker);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let described = format!("{command:?}");
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {described}: {error}"));
    Running {
        stdin: child.stdin.take(),
        stdout: Lines::read_from(child.stdout.take().unwrap()),
        stderr: Lines::read_from(child.stderr.take().unwrap()),
        child,
        marker,
        described,
    }
}

/// Runs a command to its end, with nothing on stdin.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Outcome {
    spawn(command).finish()
}

impl Running {
    /// The id of the process itself.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Writes to the process's stdin.
    #[track_caller]
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .expect("write to stdin");
    }

    /// True once nobody reads the process's stdin any more.
    pub(crate) fn is_turned_away(&mut self) -> bool {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(b"\n").is_err()
    }

    /// Waits until nobody writes to the process's stdout any more.
    #[track_caller]
    pub(crate) fn await_end_of_stdout(&self) {
        let what = format!("end of file on stdout of {}", self.described);
        await_that(&what, || self.stdout.is_finished().then_some(()));
    }

    /// Ends the process's stdin.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Sends a signal to the process itself.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("send a signal");
    }

    /// Waits for a line on stdout that starts with `prefix` and returns the rest of that line.
    #[track_caller]
    pub(crate) fn stdout_line(&mut self, prefix: &str) -> String {
        self.line_of(&self.stdout.clone(), "stdout", prefix)
    }

    /// Waits for a line on stderr that starts with `prefix` and returns the rest of that line.
    #[track_caller]
    pub(crate) fn stderr_line(&mut self, prefix: &str) -> String {
        self.line_of(&self.stderr.clone(), "stderr", prefix)
    }

    /// What was read from stdout so far.
    pub(crate) fn stdout_so_far(&self) -> String {
        self.stdout.text()
    }

    /// What was read from stderr so far.
    pub(crate) fn stderr_so_far(&self) -> String {
        self.stderr.text()
    }

    #[track_caller]
    fn line_of(&mut self, lines: &Lines, stream: &str, prefix: &str) -> String {
        let found = |lines: &Lines| {
            let text = lines.text();
            text.lines()
                .find_map(|line| line.strip_prefix(prefix).map(|rest| rest.trim().to_owned()))
        };
        let what = format!("a line {prefix:?} on {stream} of {}", self.described);
        await_that(&what, || {
            // Ask before looking, or the last lines of a process that just ended are missed.
            let over = lines.is_finished();
            let line = found(lines);
            assert!(
                line.is_some() || !over,
                "{what}: the stream ended; stderr:\n{}",
                self.stderr.text()
            );
            line
        })
    }

    /// Closes stdin, waits for the end, and returns it with all output.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        drop(self.stdin.take());
        let ended = self.ended();
        for (stream, lines) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let what = format!("end of file on {stream} of {}", self.described);
            await_that(&what, || lines.is_finished().then_some(()));
        }
        Outcome {
            ended,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }

    /// Whether the process itself has ended, as its parent sees it.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_some()
    }

    /// Waits for the end of the process itself, as its parent sees it.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Ended {
        let what = format!("the end of {} (pid {})", self.described, self.child.id());
        let pid = self.pid();
        let mut look = || self.child.try_wait().expect("wait for a child");
        let mut patience = std::time::Instant::now();
        await_within(3 * DEADLINE, &what, || {
            if patience.elapsed() > DEADLINE {
                eprintln!("still waiting for {what}: {:?}", proc::tasks(pid));
                patience = std::time::Instant::now();
            }
            look()
        })
        .into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut started = proc::pids_with_environment(MARKER, &self.marker);
        // Some overwrite their environment, as nginx and its workers do.
        if !self.has_ended() {
            started.push(self.pid());
        }
        started.extend(started.clone().into_iter().flat_map(proc::children));
        for pid in started {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One stream, read to its end by a thread of its own.
#[derive(Clone)]
struct Lines(Arc<Mutex<Stream>>);

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    finished: bool,
}

impl Lines {
    fn read_from(source: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let sink = lines.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            while let Ok(bytes) = source.fill_buf() {
                let length = bytes.len();
                if length == 0 {
                    break;
                }
                sink.0.lock().unwrap().bytes.extend_from_slice(bytes);
                source.consume(length);
            }
            sink.0.lock().unwrap().finished = true;
        });
        lines
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().bytes).into_owned()
    }

    fn is_finished(&self) -> bool {
        self.0.lock().unwrap().finished
    }
}

/// Once per test process: adopt orphans, so that their end can be seen, and leave no core files.
fn prepare_this_process() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).expect("read the core limit");
        setrlimit(Resource::RLIMIT_CORE, 0, hard).expect("set the core limit");
    });
}

fn new_marker() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
