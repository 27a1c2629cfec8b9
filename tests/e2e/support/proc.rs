//! What the kernel says about processes and threads: the judge of most tests.

use std::path::PathBuf;

use super::deadline::await_that;

/// One thread, from `/proc/PID/task/TID/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) tid: i32,
    pub(crate) name: String,
    /// The state letter: R, S, D, T (stopped), t (stopped by a tracer), Z or X.
    pub(crate) state: char,
    /// The process that traces this thread, or 0.
    pub(crate) tracer: i32,
}

/// Every thread of a process; empty when it is gone.
pub(crate) fn tasks(pid: i32) -> Vec<Task> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut tasks: Vec<Task> = entries.filter_map(|entry| task(entry.ok()?.path())).collect();
    tasks.sort_by_key(|task| task.tid);
    tasks
}

fn task(directory: PathBuf) -> Option<Task> {
    let status = std::fs::read_to_string(directory.join("status")).ok()?;
    Some(Task {
        tid: field(&status, "Pid:")?.parse().ok()?,
        name: field(&status, "Name:")?.to_owned(),
        state: field(&status, "State:")?.chars().next()?,
        tracer: field(&status, "TracerPid:")?.parse().ok()?,
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// The number of the system call that a thread sleeps in.
pub(crate) fn system_call(tid: i32) -> Option<i64> {
    let line = std::fs::read_to_string(format!("/proc/{tid}/syscall")).ok()?;
    line.split(' ').next()?.parse().ok()
}

/// True while the process exists and is not a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    tasks(pid).iter().any(|task| !matches!(task.state, 'Z' | 'X'))
}

/// Waits until every thread of the process is traced, and returns who traces them.
#[track_caller]
pub(crate) fn await_all_traced(pid: i32) -> i32 {
    await_that(&format!("every thread of {pid} traced"), || {
        let tasks = tasks(pid);
        let tracer = tasks.first()?.tracer;
        (tracer != 0 && tasks.iter().all(|task| task.tracer == tracer)).then_some(tracer)
    })
}

/// Waits until no thread of the process is traced, and requires that none is left in a stop.
#[track_caller]
pub(crate) fn assert_let_go(pid: i32) {
    assert!(is_alive(pid), "{pid} did not survive being let go");
    await_that(
        &format!("no thread of {pid} traced or stopped; {:?}", tasks(pid)),
        || {
            tasks(pid)
                .iter()
                .all(|task| task.tracer == 0 && !matches!(task.state, 't' | 'T'))
                .then_some(())
        },
    );
}

/// Waits until no thread of the process is in a stop; threads may still be traced.
#[track_caller]
pub(crate) fn assert_goes_on(pid: i32) {
    assert!(is_alive(pid), "{pid} did not survive");
    await_that(&format!("no thread of {pid} stopped; {:?}", tasks(pid)), || {
        tasks(pid)
            .iter()
            .all(|task| !matches!(task.state, 't' | 'T'))
            .then_some(())
    });
}

/// The ids of all processes whose environment has `name=value`.
pub(crate) fn pids_with_environment(name: &str, value: &str) -> Vec<i32> {
    let wanted = format!("{name}={value}");
    let is_marked = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|bytes| {
            bytes
                .split(|byte| *byte == 0)
                .any(|entry| entry == wanted.as_bytes())
        })
    };
    all_pids().into_iter().filter(is_marked).collect()
}

/// The ids of all processes that run a program, zombies aside.
pub(crate) fn pids_of_program(program: &std::path::Path) -> Vec<i32> {
    let runs_it = |pid: &i32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    all_pids().into_iter().filter(runs_it).collect()
}

/// The ids of the children of a process.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    let parent_of = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        field(&status, "PPid:")?.parse::<i32>().ok()
    };
    all_pids()
        .into_iter()
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}
