//! The text of a process's /proc files, while it is held.
//!
//! The leader may be a zombie whose `/proc/PID/{maps,exe,mem}` are empty, so what belongs to the address space is
//! read through the thread that is stopped. Ids cannot be reused meanwhile: a traced task exists until its
//! tracer has reaped it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use wildmatch::WildMatch;

use crate::config::{Cmdline, ReportOptions};
use crate::sys::status::Status;
use crate::sys::{Pid, Tid};

use super::{Blob, Capture, OpenFile};

/// The most that is read of one /proc file. Maps of 65,530 mappings take about 8 MiB.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// What most of these files fit in.
const USUAL: usize = 4096;
/// The most that is kept of a command line.
const MAX_CMDLINE: usize = 64 << 10;
/// The most open files that are listed.
const MAX_OPEN_FILES: usize = 4096;

impl Capture {
    /// Copies what /proc says of the process, through a thread of it that is stopped.
    pub(super) fn copy_process(&mut self, pid: Pid, tid: Tid, options: &ReportOptions) {
        let of_process = format!("/proc/{pid}");
        let of_thread = format!("/proc/{pid}/task/{tid}");
        self.facts.process.stat = self.copy_file(&of_process, "stat");
        self.facts.process.limits = self.copy_file(&of_thread, "limits");
        self.facts.process.auxv = self.copy_file(&of_thread, "auxv");
        self.facts.process.cgroup = self.copy_file(&of_thread, "cgroup");
        self.facts.process.coredump_filter = coredump_filter(&of_process);
        // A file of it: the directory belongs to the effective user, dumpable or not (kernel, task_dump_owner).
        self.facts.process.proc_owner = fs::metadata(format!("{of_thread}/mem"))
            .ok()
            .map(|meta| meta.uid());
        self.facts.process.exe = self.copy_link(&of_thread, "exe");
        self.facts.process.cmdline = self.copy_cmdline(&of_thread, options.cmdline);
        self.facts.process.environment = self.copy_environment(&of_thread, &options.environment);
        if options.files {
            self.copy_open_files(&of_thread);
        }
    }

    /// Copies the status of the process.
    pub(super) fn copy_status(&mut self, pid: Pid) {
        self.facts.process.pid = pid.0;
        self.facts.process.status = self.copy_file(&format!("/proc/{pid}"), "status");
    }

    /// Copies what /proc says of a process that is dead and not reaped.
    pub(super) fn copy_remains(&mut self, pid: Pid) {
        let directory = format!("/proc/{pid}");
        self.copy_status(pid);
        self.facts.process.stat = self.copy_file(&directory, "stat");
        self.facts.process.cgroup = self.copy_file(&directory, "cgroup");
    }

    /// Notes the threads' ids in their own pid namespace, where the status says that it is another one: locks hold those.
    pub(super) fn note_inner_ids(&mut self) {
        let status = self
            .facts
            .process
            .status
            .map(|status| Status::parse(self.get(status)));
        if status.and_then(|status| status.inner_tid).is_none() {
            return;
        }
        for thread in &mut self.facts.threads {
            thread.inner_tid = Status::read(thread.tid).ok().and_then(|status| status.inner_tid);
        }
    }

    /// Copies the memory map.
    pub(super) fn copy_maps(&mut self, pid: Pid, tid: Tid) {
        self.facts.process.maps = self.copy_file(&format!("/proc/{pid}/task/{tid}"), "maps");
    }

    fn copy_file(&mut self, directory: &str, name: &str) -> Option<Blob> {
        match read_bounded(&format!("{directory}/{name}"), MAX_FILE) {
            Ok(bytes) => Some(self.keep(&bytes)),
            Err(error) => {
                self.miss(format!("process {name}"), error);
                None
            }
        }
    }

    fn copy_link(&mut self, directory: &str, name: &str) -> Option<String> {
        match fs::read_link(format!("{directory}/{name}")) {
            Ok(target) => Some(target.to_string_lossy().into_owned()),
            Err(error) => {
                self.miss(format!("process {name}"), error);
                None
            }
        }
    }

    fn copy_cmdline(&mut self, directory: &str, wish: Cmdline) -> Option<Blob> {
        if wish == Cmdline::Off {
            return None;
        }
        let mut bytes = match read_bounded(&format!("{directory}/cmdline"), MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.miss("process cmdline", error);
                return None;
            }
        };
        if wish == Cmdline::Mask {
            bytes = masked(&bytes);
        }
        if bytes.len() > MAX_CMDLINE {
            self.miss(
                "process cmdline",
                format!("only {MAX_CMDLINE} of its {} bytes are kept", bytes.len()),
            );
            bytes.truncate(MAX_CMDLINE);
        }
        Some(self.keep(&bytes))
    }

    fn copy_environment(&mut self, directory: &str, allowed: &[String]) -> Option<Blob> {
        let patterns: Vec<WildMatch> = allowed.iter().map(|pattern| WildMatch::new(pattern)).collect();
        let bytes = match read_bounded(&format!("{directory}/environ"), MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.miss("process environment", error);
                return None;
            }
        };
        let mut kept = Vec::new();
        for variable in bytes.split(|byte| *byte == 0) {
            let name = variable.split(|byte| *byte == b'=').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name);
            if !name.is_empty() && patterns.iter().any(|pattern| pattern.matches(&name)) {
                kept.extend_from_slice(variable);
                kept.push(0);
            }
        }
        Some(self.keep(&kept))
    }

    fn copy_open_files(&mut self, directory: &str) {
        let entries = match fs::read_dir(format!("{directory}/fd")) {
            Ok(entries) => entries,
            Err(error) => return self.miss("open files", error),
        };
        for entry in entries.flatten() {
            let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if self.facts.process.files.len() == MAX_OPEN_FILES {
                return self.miss(
                    "open files",
                    format!("only the first {MAX_OPEN_FILES} are listed"),
                );
            }
            if let Ok(target) = fs::read_link(entry.path()) {
                self.facts.process.files.push(OpenFile {
                    fd,
                    target: target.to_string_lossy().into_owned(),
                });
            }
        }
    }
}

/// Reads a /proc file whole, up to a limit.
///
/// Room for a page saves the small reads by which an empty buffer grows: a fifth of the cost of a thread's stat.
pub(super) fn read_bounded(path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Which mappings the process wants in its cores; the file holds a hexadecimal number.
fn coredump_filter(directory: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("{directory}/coredump_filter")).ok()?;
    u32::from_str_radix(text.trim(), 16).ok()
}

/// The program's name, and how many arguments it had in place of the arguments.
fn masked(cmdline: &[u8]) -> Vec<u8> {
    let mut words = cmdline.split(|byte| *byte == 0);
    let mut kept = words.next().unwrap_or_default().to_vec();
    kept.push(0);
    let arguments = words.count().saturating_sub(1);
    if arguments > 0 {
        kept.extend(format!("({arguments} arguments not recorded)\0").bytes());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_command_line_keeps_no_argument() {
        assert_eq!(
            masked(b"/bin/x\0--password\0secret\0"),
            b"/bin/x\0(2 arguments not recorded)\0"
        );
        assert_eq!(masked(b"/bin/x\0"), b"/bin/x\0");
        assert_eq!(masked(b""), b"\0");
    }

    #[test]
    fn our_own_process_can_be_copied() {
        let pid = Pid(std::process::id() as i32);
        let options = ReportOptions {
            environment: vec!["PATH".into()],
            ..ReportOptions::default()
        };
        let mut capture = Capture::default();
        capture.copy_status(pid);
        capture.copy_process(pid, pid.leader(), &options);
        let process = &capture.facts.process;
        let environment = capture.get(process.environment.unwrap());
        assert!(environment.starts_with(b"PATH=") && !environment[5..].windows(5).any(|at| at == b"HOME="));
        assert!(capture.get(process.status.unwrap()).starts_with(b"Name:"));
        assert!(process.files.iter().any(|file| file.fd == 1));
        assert_eq!(capture.facts.missing, []);
    }
}
