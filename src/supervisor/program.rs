//! Starting a program so that its first instruction is traced already.
//!
//! The child is this same binary in the role of launcher: it waits behind a gate until the tracer has seized it,
//! gives itself the signal state that our caller had chosen, and execs the program. The seizure survives exec, so
//! nothing of the program runs untraced. The front is the child's natural parent and the tracer another
//! process, because a parent that is the tracer as well would not be told of group-stops (kernel/exit.c,
//! `wait_consider_task`).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::unistd::pipe2;

use crate::sys::Pid;
use crate::sys::process::{self, SignalState};

/// This very binary, whatever became of its path.
pub(super) const OURSELVES: &str = "/proc/self/exe";
/// What the front writes to open the gate.
const GO: u8 = b'g';
/// Exit status of a launcher whose front vanished: nothing was started.
const NEVER_STARTED: u8 = 1;
/// Exit status where the program exists but cannot be executed, and where it does not exist (POSIX, 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Soft and hard limit of open files (getrlimit(2), `RLIMIT_NOFILE`) as our caller had chosen them.
pub(crate) type FileLimit = (rlim_t, rlim_t);

/// Lets this process open as many files as it may: incidents carry one for each module. Returns what was before.
pub(crate) fn raise_file_limit() -> FileLimit {
    let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let _ = setrlimit(Resource::RLIMIT_NOFILE, before.1, before.1);
    before
}

/// A program behind its gate.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) pid: Pid,
    gate: Option<File>,
}

impl Program {
    /// Starts a launcher for that command. The program itself starts with [`Program::open_gate`].
    pub(super) fn prepare(command: &[OsString], tracer: Pid, files: FileLimit) -> io::Result<Self> {
        let (inside, outside) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&inside, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let state = process::inherited_signal_state();
        let (soft, _) = files;
        let child = Command::new(OURSELVES)
            .arg0("sickbay")
            .arg("launch")
            .arg(inside.as_raw_fd().to_string())
            .arg(tracer.to_string())
            .arg(format!("{:x}", state.mask))
            .arg(format!("{:x}", state.ignored))
            .arg(soft.to_string())
            .args(command)
            .spawn()?;
        Ok(Self {
            pid: Pid(child.id() as i32),
            gate: Some(outside.into()),
        })
    }

    /// Lets the program start.
    pub(super) fn open_gate(&mut self) -> io::Result<()> {
        match self.gate.take() {
            Some(mut gate) => gate.write_all(&[GO]),
            None => Ok(()),
        }
    }

    /// Whether the program has not been let start.
    pub(super) fn is_waiting(&self) -> bool {
        self.gate.is_some()
    }
}

/// The role of the launcher: `launch GATE TRACER MASK IGNORED FILES COMMAND...`, started by [`Program::prepare`] alone.
pub fn launcher(arguments: Vec<OsString>) -> ExitCode {
    let Some(Order {
        gate,
        tracer,
        state,
        files,
        command,
    }) = Order::parse(arguments)
    else {
        log::error!("'launch' is started by 'run' alone");
        return ExitCode::from(2);
    };
    // Without Yama, or with its permission, this is not needed; where it is, the seizure tells.
    let _ = process::allow_tracer(tracer);
    let mut answer = [0];
    if !matches!(File::from(gate).read(&mut answer), Ok(1)) {
        return ExitCode::from(NEVER_STARTED);
    }
    let Some((program, rest)) = command.split_first() else {
        return ExitCode::from(2);
    };
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, files, hard);
    }
    process::restore_signal_state(state);
    let error = Command::new(program).args(rest).exec();
    log::error!("cannot run '{}': {error}", program.display());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
        NOT_FOUND
    } else {
        NOT_EXECUTABLE
    })
}

/// What a launcher is told.
struct Order {
    gate: OwnedFd,
    tracer: Pid,
    state: SignalState,
    files: rlim_t,
    command: Vec<OsString>,
}

impl Order {
    fn parse(arguments: Vec<OsString>) -> Option<Self> {
        let mut words = arguments.into_iter();
        let gate = words.next()?.to_str()?.parse().ok()?;
        let tracer = Pid(words.next()?.to_str()?.parse().ok()?);
        let mask = u64::from_str_radix(words.next()?.to_str()?, 16).ok()?;
        let ignored = u64::from_str_radix(words.next()?.to_str()?, 16).ok()?;
        let files = words.next()?.to_str()?.parse().ok()?;
        let gate = process::inherited_descriptor(gate).ok()?;
        Some(Self {
            gate,
            tracer,
            state: SignalState { mask, ignored },
            files,
            command: words.collect(),
        })
    }
}
