//! The tasks of one process, through one descriptor of its `/proc/PID/task`.
//!
//! The descriptor belongs to the process and not to its id: what it lists is of that very process, and once the
//! process is gone it lists nothing, whoever has the id by then.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::read;

use super::{Pid, Tid};

/// Links of the directory itself: all others are one for each task (fs/proc/base.c, `proc_task_getattr`).
const OWN_LINKS: usize = 2;
/// The most that is read of a file of one line. The longest, `stat`, has 52 numbers and a name (proc(5)).
const MAX_LINE: usize = 4096;

/// The name of a task (`/proc/TID/comm`); that of a process is its leader's. None: it is gone.
pub fn name(tid: Tid) -> Option<String> {
    let name = fs::read(format!("/proc/{tid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// The tasks of one process.
#[derive(Debug)]
pub struct Tasks(Dir);

impl Tasks {
    /// Opens the list of the process that has this id now.
    pub fn open(pid: Pid) -> io::Result<Self> {
        let directory = Dir::open(
            format!("/proc/{pid}/task").as_str(),
            OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self(directory))
    }

    /// Every task, those included that have ended and are not reaped; none when the process is gone. About 1 us each.
    pub fn list(&mut self) -> io::Result<Vec<Tid>> {
        let mut tasks = Vec::with_capacity(self.count());
        for entry in self.0.iter() {
            if let Some(tid) = entry?
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| name.parse().ok())
            {
                tasks.push(Tid(tid));
            }
        }
        Ok(tasks)
    }

    /// Appends a file of one task that is a line (`stat`, `syscall`) to `out`; returns its size in bytes. About 8 us, of
    /// which a path from the root would cost another third.
    pub fn line(&self, tid: Tid, file: &str, out: &mut Vec<u8>) -> io::Result<usize> {
        let path = format!("{tid}/{file}");
        let opened = openat(
            &self.0,
            path.as_str(),
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let mut line = [0; MAX_LINE];
        let len = read(&opened, &mut line)?;
        out.extend_from_slice(&line[..len]);
        Ok(len)
    }

    /// How many there are, in one system call; 0 when the process is gone.
    pub fn count(&self) -> usize {
        let links = fstat(self.0.as_fd()).map_or(0, |meta| usize::try_from(meta.st_nlink).unwrap_or(0));
        links.saturating_sub(OWN_LINKS)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn our_own_threads_are_listed_and_counted() {
        let mut tasks = Tasks::open(Pid(std::process::id() as i32)).unwrap();
        let (end, waits) = mpsc::channel::<()>();
        let (say, hear) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            say.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = waits.recv();
        });
        let tid = Tid(hear.recv().unwrap());
        assert!(tasks.list().unwrap().contains(&tid));
        let mut stat = Vec::new();
        let len = tasks.line(tid, "stat", &mut stat).unwrap();
        assert_eq!(len, stat.len());
        assert!(stat.starts_with(format!("{tid} (").as_bytes()), "{stat:?}");
        // The test harness may start or end threads of its own.
        assert!(tasks.count() >= 2);
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_has_no_tasks() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut tasks = Tasks::open(Pid(child.id() as i32)).unwrap();
        assert_eq!((tasks.count(), tasks.list().unwrap().len()), (1, 1));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!((tasks.count(), tasks.list().unwrap()), (0, Vec::new()));
    }
}
