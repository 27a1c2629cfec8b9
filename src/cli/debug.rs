//! `sickbay debug`: the core of a report in a debugger, with the program that it belongs to.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use object::ReadCache;
use object::read::Object;

use super::output::message;
use super::state_dir::StateDir;
use super::{exit, find};
use crate::report::model::Process;
use crate::store::StoredCore;
use crate::sys::process;

/// Debuggers, best first: each of them opens cores of ours.
const DEBUGGERS: [&str; 2] = ["gdb", "lldb"];
/// Added to a signal's number where the debugger was ended by one, as shells do.
const BY_SIGNAL: i32 = 128;

/// Open the core of a report in gdb, or else in lldb.
#[derive(Debug, Args)]
pub struct Debug {
    /// The report: its id, the beginning of it, `latest`, or -1 for the latest, -2 for the one before, ...
    #[arg(value_name = "ID", allow_negative_numbers = true, default_value = "latest")]
    id: String,
    /// The program that crashed, if it is no longer where it was
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The debugger to use [default: gdb, else lldb]
    #[arg(long, value_name = "NAME")]
    debugger: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state_dir: StateDir,
    /// Arguments for the debugger
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

impl Debug {
    /// Runs the debugger to its end, and ends with its status.
    ///
    /// # Errors
    ///
    /// No debugger, a report without a core, and whatever reading it meets.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some((store, id)) = find::report(&self.id, self.state_dir)? else {
            return Ok(ExitCode::from(exit::NOT_FOUND));
        };
        let stored = StoredCore::open(&store, &id)?;
        let Some(debugger) = self.debugger.or_else(installed) else {
            bail!(
                "neither gdb nor lldb is installed; install one, or take the core elsewhere with \
                 'sickbay export {id} --format core -o FILE'"
            );
        };
        let program = self.program.or_else(|| program(&store.load(&id).ok()?.process));
        let core = unnamed_file().context("cannot create a temporary file for the core")?;
        stored.copy(&mut &core).context("cannot unpack the core")?;
        let mut command = Command::new(&debugger);
        command.args(&self.arguments).arg("-c");
        command.arg(format!("/proc/self/fd/{}", core.as_raw_fd()));
        let child = command.args(program).spawn();
        let mut child = child.with_context(|| format!("cannot start {}", debugger.display()))?;
        process::leave_keyboard_signals();
        let status = child.wait()?;
        let by_signal = || BY_SIGNAL + status.signal().unwrap_or(0);
        Ok(ExitCode::from(status.code().unwrap_or_else(by_signal) as u8))
    }
}

/// The best debugger that is installed.
fn installed() -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    let found =
        |name: &&str| std::env::split_paths(&directories).any(|directory| directory.join(name).is_file());
    DEBUGGERS.into_iter().find(found).map(PathBuf::from)
}

/// The program of a report, if the file at its path is still the one that crashed.
fn program(process: &Process) -> Option<PathBuf> {
    let path = PathBuf::from(process.exe.as_deref()?);
    let wanted = process.build_id.as_deref();
    match build_id(&path) {
        Err(error) => message(format_args!(
            "{}: {error}; name the program that crashed with --program",
            path.display()
        )),
        Ok(found) if wanted.is_some() && found.as_deref() != wanted => message(format_args!(
            "{} is another build than the one that crashed; name the right one with --program",
            path.display()
        )),
        Ok(_) => return Some(path),
    }
    None
}

/// The build id of a program, in hexadecimal.
fn build_id(path: &Path) -> anyhow::Result<Option<String>> {
    let cache = ReadCache::new(File::open(path)?);
    let file = object::read::elf::ElfFile64::<object::Endianness, _>::parse(&cache)?;
    Ok(file.build_id()?.map(hex::encode))
}

/// A file that vanishes with the last process that has it open, and that a debugger inherits.
fn unnamed_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("sickbay-core-{}", std::process::id()));
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let file = options?;
    std::fs::remove_file(path)?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(file)
}
