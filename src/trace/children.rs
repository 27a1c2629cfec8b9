//! Which processes a process has started and are alive.
//!
//! Two ways lead to them: the list of each thread's children, or the parent of every process of the machine. A
//! file of either kind costs about 5 us, which for a thousand threads is more than their seizure; so the shorter
//! list is read.

use std::fs;

use crate::sys::Pid;
use crate::sys::tasks::Tasks;

use crate::sys::status::Status;

/// With so few threads, theirs is the shorter list wherever we are.
const FEW: usize = 32;

/// The processes whose parent this one is.
pub(super) fn children(pid: Pid) -> Vec<Pid> {
    let Ok(mut tasks) = Tasks::open(pid) else {
        return Vec::new();
    };
    let threads = tasks.count();
    if threads > FEW {
        let processes = processes();
        if processes.len() < threads {
            return among(processes, pid);
        }
    }
    of_threads(pid, &mut tasks)
}

/// Those that the threads say they have started.
fn of_threads(pid: Pid, tasks: &mut Tasks) -> Vec<Pid> {
    let mut found = Vec::new();
    for tid in tasks.list().unwrap_or_default() {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|id| id.parse().ok()).map(Pid));
    }
    found
}

/// Those of the given ones that say who started them.
fn among(processes: Vec<Pid>, parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &Pid| Status::read(pid.leader()).is_ok_and(|status| status.parent == parent.0);
    processes.into_iter().filter(is_child).collect()
}

/// Every process that we can see.
fn processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).map(Pid).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn both_ways_find_a_child() {
        let own = Pid(std::process::id() as i32);
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid(child.id() as i32);
        assert!(of_threads(own, &mut Tasks::open(own).unwrap()).contains(&pid));
        assert!(among(processes(), own).contains(&pid));
        assert!(!among(processes(), pid).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children(own).contains(&pid));
    }
}
