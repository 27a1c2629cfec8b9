//! The fields of `/proc/TID/status` (proc(5)) that tracing needs, read on the path of signals.
//!
//! Parsed here and not by a library because it is read at a signal's delivery: one buffer, one pass, no
//! allocation beyond it.

use std::fs::File;
use std::io::{self, Read};

use super::{Pid, Tid};

/// What the file fits in, but for a process with hundreds of groups.
const USUAL_SIZE: usize = 4096;
/// The most that is read: 65,536 groups (`NGROUPS_MAX`) of ten digits.
const MAX_SIZE: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Name of the thread.
    pub name: String,
    /// State letter: R, S, D, T, t, Z, X, I.
    pub state: char,
    /// Thread group.
    pub tgid: i32,
    /// Parent of the thread group.
    pub parent: i32,
    /// Who traces it; 0 for nobody.
    pub tracer: i32,
    /// Number of threads.
    pub threads: usize,
    /// Caught signals of the process, bit n - 1 for signal n.
    pub caught: u64,
    /// Ignored signals of the process.
    pub ignored: u64,
    /// Its id in its own pid namespace, where that is another than ours.
    pub inner_tid: Option<Tid>,
    /// How often the task has slept or stopped: context switches that it asked for itself.
    pub voluntary_switches: u64,
    /// Whether the kernel writes a core of it.
    pub dumping: bool,
    /// Whether its returns are checked against a second stack (CET; Linux 6.6 for programs). The register set of that
    /// stack would tell as well, but reading it of a thread without one made some kernels complain.
    pub shadow_stack: bool,
    /// Whether a seccomp filter judges its system calls.
    pub seccomp_filter: bool,
}

impl Status {
    /// Reads the status of any task.
    pub fn read(tid: Tid) -> io::Result<Self> {
        let mut text = Vec::with_capacity(USUAL_SIZE);
        // With a limit no size is asked for, which the kernel does not tell.
        File::open(format!("/proc/{tid}/status"))?
            .take(MAX_SIZE)
            .read_to_end(&mut text)?;
        Ok(Self::parse(&text))
    }

    /// Whether the task has ended and only waits to be reaped.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether it is stopped, by a signal or for its tracer.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    /// Whether it is the init of a pid namespace within ours, which default actions do not end (pid_namespaces(7)).
    pub fn is_namespace_init(&self) -> bool {
        self.inner_tid == Some(Tid(1))
    }

    /// Its process.
    pub fn process(&self) -> Pid {
        Pid(self.tgid)
    }

    /// Takes what the file says; fields that are not there keep their defaults.
    pub fn parse(text: &[u8]) -> Self {
        let mut status = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
            let text = std::str::from_utf8(value).unwrap_or_default();
            match &line[..colon] {
                b"Name" => status.name = String::from_utf8_lossy(value).into_owned(),
                b"State" => status.state = text.chars().next().unwrap_or('?'),
                b"Tgid" => status.tgid = text.parse().unwrap_or(0),
                b"PPid" => status.parent = text.parse().unwrap_or(0),
                b"TracerPid" => status.tracer = text.parse().unwrap_or(0),
                b"NSpid" => {
                    let inner = text.split_whitespace().skip(1).last();
                    status.inner_tid = inner.and_then(|id| id.parse().ok()).map(Tid);
                }
                b"Threads" => status.threads = text.parse().unwrap_or(0),
                b"CoreDumping" => status.dumping = text == "1",
                b"voluntary_ctxt_switches" => status.voluntary_switches = text.parse().unwrap_or(0),
                b"SigIgn" => status.ignored = u64::from_str_radix(text, 16).unwrap_or(0),
                b"SigCgt" => status.caught = u64::from_str_radix(text, 16).unwrap_or(0),
                b"x86_Thread_features" => status.shadow_stack = text.contains("shstk"),
                b"Seccomp" => status.seccomp_filter = text != "0",
                _ => {}
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text =
            b"Name:\tworker-1\nState:\tS (sleeping)\nTgid:\t812\nPPid:\t1\nTracerPid:\t977\nNSpid:\t812\t1\n\
            Threads:\t4\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180000440\n";
        let status = Status::parse(text);
        assert_eq!(
            (status.name.as_str(), status.state, status.tgid, status.tracer),
            ("worker-1", 'S', 812, 977)
        );
        assert_eq!(
            (status.ignored, status.caught, status.threads),
            (0x1000, 0x1_8000_0440, 4)
        );
        assert!(status.is_namespace_init());
    }

    #[test]
    fn what_the_kernel_enforces_on_a_thread_is_found() {
        let with = Status::parse(b"Seccomp:\t2\nSeccomp_filters:\t1\nx86_Thread_features:\tshstk wrss \n");
        assert!(with.shadow_stack && with.seccomp_filter);
        let without = Status::parse(b"Seccomp:\t0\nSeccomp_filters:\t0\nx86_Thread_features:\t\n");
        assert_eq!(without, Status::default());
    }

    #[test]
    fn the_init_of_our_own_namespace_is_told_from_that_of_an_inner_one() {
        assert!(!Status::parse(b"NSpid:\t1\n").is_namespace_init());
        assert_eq!(Status::parse(b"NSpid:\t812\n").inner_tid, None);
        assert_eq!(Status::parse(b"NSpid:\t812\t7\t3\n").inner_tid, Some(Tid(3)));
    }

    #[test]
    fn anything_is_parsed_without_harm() {
        for text in [
            &b""[..],
            b":",
            b"Name",
            b"State:\n",
            b"SigCgt: zz\nTgid: 99999999999999999999\n",
            &[0xff, b':'],
        ] {
            let _ = Status::parse(text);
        }
    }
}
