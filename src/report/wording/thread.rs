//! One thread: its title, and what it is doing.

use super::super::model::{Address, Report, Thread};
use super::place::in_module;
use crate::sys::Tid;

/// System calls whose first argument is a file descriptor.
const ON_DESCRIPTORS: [&str; 34] = [
    "read",
    "readv",
    "pread64",
    "preadv",
    "preadv2",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "accept",
    "accept4",
    "connect",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "flock",
    "fcntl",
    "fsync",
    "fdatasync",
    "ioctl",
    "sendfile",
    "fallocate",
    "ftruncate",
    "close",
    "lseek",
    "getdents64",
    "io_uring_enter",
];

/// `4828 worker-117`
pub(in crate::report) fn title(thread: &Thread) -> String {
    match &thread.name {
        Some(name) => format!("{} {name}", thread.tid),
        None => thread.tid.to_string(),
    }
}

/// The same for an id that may belong to no thread of the report.
pub(in crate::report) fn title_of(report: &Report, tid: Tid) -> String {
    let thread = report.threads.iter().find(|thread| thread.tid == tid);
    thread.map_or_else(|| tid.to_string(), title)
}

/// `asleep in read on 7 (socket:[40012])`, `asleep in futex, waiting for the mutex 0x558100004040 held by 4828 worker-117`
pub(in crate::report) fn doing(report: &Report, thread: &Thread) -> String {
    let mut parts = Vec::new();
    let state = state(thread);
    let call = call(report, thread);
    match (state, call) {
        (Some(state), Some(call)) => parts.push(format!("{state} {call}")),
        (state, call) => {
            parts.extend(state.map(str::to_owned));
            parts.extend(call);
        }
    }
    parts.extend(waiting(report, thread));
    if thread.frames.is_empty() {
        parts.extend(program_counter(report, thread).map(|place| format!("at {place}")));
    }
    if parts.is_empty() {
        "nothing known".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The state of a thread in a word (proc(5)).
pub(in crate::report) fn state(thread: &Thread) -> Option<&str> {
    Some(match thread.state.as_deref()? {
        "R" => "running",
        "S" => "asleep",
        "D" => "in uninterruptible sleep",
        "T" | "t" => "stopped",
        "Z" | "X" => "ended",
        "I" => "idle",
        other => other,
    })
}

fn call(report: &Report, thread: &Thread) -> Option<String> {
    let call = &thread.syscall;
    let name = match (&call.name, call.number) {
        (Some(name), _) => name.clone(),
        (None, Some(number)) => format!("system call {number}"),
        (None, None) => return None,
    };
    let descriptor = call
        .args
        .first()
        .filter(|_| ON_DESCRIPTORS.contains(&name.as_str()));
    let on = descriptor.map(|number| match target(report, *number) {
        Some(target) => format!(" on {} ({target})", number.0),
        None => format!(" on {}", number.0 as i32),
    });
    Some(format!("in {name}{}", on.unwrap_or_default()))
}

fn target(report: &Report, descriptor: Address) -> Option<&str> {
    let descriptor = i32::try_from(descriptor.0).ok()?;
    let file = report.files.iter().find(|file| file.fd == descriptor)?;
    Some(&file.target)
}

/// What it waits for, where the system call does not say it already.
fn waiting(report: &Report, thread: &Thread) -> Option<String> {
    let waiting = &thread.waiting;
    let (kind, address) = (waiting.kind.as_deref()?, waiting.address?);
    let owner = waiting.owner_tid.map(|tid| title_of(report, tid));
    Some(match (kind, owner) {
        ("thread", Some(owner)) => format!("waiting for {owner} to end"),
        (_, Some(owner)) => format!("waiting for the {kind} {address} held by {owner}"),
        (_, None) => format!("waiting for the {kind} {address}"),
    })
}

/// Where the thread is, for those without frames.
pub(in crate::report) fn program_counter(report: &Report, thread: &Thread) -> Option<String> {
    let pc = ["rip", "pc", "eip"]
        .into_iter()
        .find_map(|name| thread.registers.get(name))?;
    Some(in_module(report, *pc))
}
