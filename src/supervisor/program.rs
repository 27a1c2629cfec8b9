//! Starting a program so that its first instruction is traced already.
//!
//! The child is this same binary in the role of launcher: it waits behind a gate until the tracer has seized it,
//! gives itself the signal state and the closed standard descriptors that our caller had chosen, and execs the program. The seizure survives exec, so
//! nothing of the program runs untraced. The front is the child's natural parent and the tracer another
//! process, because a parent that is the tracer as well would not be told of group-stops (kernel/exit.c,
//! `wait_consider_task`).
//!
//! Where Yama restricts tracing to descendants, the child first allows it to the front and all that descend from it,
//! so that a tracer may be replaced (`PR_SET_PTRACER`, which lasts beyond exec). Then it says that it is ready.
//!
//! What a service manager says to the process that it starts is said to the program: the ids in `LISTEN_PID`
//! (sd_listen_fds(3)), `WATCHDOG_PID` (sd_watchdog_enabled(3)) and `SYSTEMD_EXEC_PID` become the program's where they
//! are ours. Nothing can be done here about `NOTIFY_SOCKET`: whose messages count, the manager decides
//! (`NotifyAccess=`).

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, ExitCode};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use crate::sys::Pid;
use crate::sys::process::{self, Inheritance};

/// This very binary, whatever became of its path.
pub(super) const OURSELVES: &str = if cfg!(test) {
    // A test that started its own program would run all tests again.
    "/nonexistent"
} else {
    "/proc/self/exe"
};
/// What the launcher writes when it can be seized, and what the front writes to open the gate.
const READY: u8 = b'r';
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
    gate: Option<UnixStream>,
}

impl Program {
    /// Starts a launcher for that command, and waits until it can be seized. The program itself starts with
    /// [`Program::open_gate`].
    pub(super) fn prepare(command: &[OsString], files: FileLimit) -> io::Result<Self> {
        let (inside, mut outside) = UnixStream::pair()?;
        fcntl(&inside, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let Inheritance {
            mask,
            ignored,
            closed,
        } = process::inheritance();
        let (soft, _) = files;
        let child = Command::new(OURSELVES)
            .arg0("sickbay")
            .arg("launch")
            .arg(inside.as_raw_fd().to_string())
            .args([mask, ignored, closed].map(|bits| format!("{bits:x}")))
            .arg(soft.to_string())
            .args(command)
            .spawn()?;
        drop(inside);
        outside.read_exact(&mut [0])?;
        Ok(Self {
            pid: Pid(child.id() as i32),
            gate: Some(outside),
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

/// The role of the launcher: `launch GATE MASK IGNORED CLOSED FILES COMMAND...`, started by [`Program::prepare`] alone.
pub fn launcher(arguments: Vec<OsString>) -> ExitCode {
    let Some(Order {
        gate,
        inheritance,
        files,
        command,
    }) = Order::parse(arguments)
    else {
        log::error!("'launch' is started by 'run' alone");
        return ExitCode::from(2);
    };
    let front = Pid(parent_id() as i32);
    // Without Yama, or with its permission, this is not needed; where it is, the seizure tells.
    let _ = process::allow_tracer(front);
    if await_go(UnixStream::from(gate)).is_err() {
        return ExitCode::from(NEVER_STARTED);
    }
    let Some((program, rest)) = command.split_first() else {
        return ExitCode::from(2);
    };
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, files, hard);
    }
    let mut command = Command::new(program);
    command.args(rest);
    for (name, value) in addressed_anew(front, |name| std::env::var(name).ok()) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    become_program(command, inheritance)
}

/// Becomes that program, which finds what our own caller has left to us. Returns only where that fails.
pub fn become_as_called(program: &OsStr, arguments: &[OsString]) -> ExitCode {
    let mut command = Command::new(program);
    command.args(arguments);
    become_program(command, process::inheritance())
}

fn become_program(command: Command, inheritance: Inheritance) -> ExitCode {
    let program = command.get_program().to_owned();
    let error = process::exec(command, inheritance);
    log::error!("cannot run '{}': {error}", program.display());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
        NOT_FOUND
    } else {
        NOT_EXECUTABLE
    })
}

fn await_go(mut gate: UnixStream) -> io::Result<()> {
    gate.write_all(&[READY])?;
    gate.read_exact(&mut [0])
}

/// What to make of the variables in which a service manager has named `front` and means the program.
fn addressed_anew(
    front: Pid,
    variable: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, Option<String>)> {
    let names_front = |name: &str| variable(name).is_some_and(|value| value == front.to_string());
    let mut anew: Vec<_> = ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"]
        .into_iter()
        .filter(|name| names_front(name))
        .map(|name| (name, Some(std::process::id().to_string())))
        .collect();
    if names_front("LISTEN_PID") {
        // Names the same process by its pidfd, and may be absent.
        anew.push(("LISTEN_PIDFDID", None));
    }
    anew
}

/// What a launcher is told.
struct Order {
    gate: OwnedFd,
    inheritance: Inheritance,
    files: rlim_t,
    command: Vec<OsString>,
}

impl Order {
    fn parse(arguments: Vec<OsString>) -> Option<Self> {
        let mut words = arguments.into_iter();
        let gate = words.next()?.to_str()?.parse().ok()?;
        let mut bits = || u64::from_str_radix(words.next()?.to_str()?, 16).ok();
        let inheritance = Inheritance {
            mask: bits()?,
            ignored: bits()?,
            closed: bits()?,
        };
        let files = words.next()?.to_str()?.parse().ok()?;
        let gate = process::inherited_descriptor(gate).ok()?;
        Some(Self {
            gate,
            inheritance,
            files,
            command: words.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_to_the_front_is_said_to_the_program() {
        let own = std::process::id().to_string();
        let anew = |listen: &str| {
            addressed_anew(Pid(4711), |name| {
                (name == "LISTEN_PID").then(|| listen.to_owned())
            })
        };
        assert_eq!(
            anew("4711"),
            [("LISTEN_PID", Some(own)), ("LISTEN_PIDFDID", None)]
        );
        assert_eq!(anew("471"), []);
        assert_eq!(anew(""), []);
    }
}
