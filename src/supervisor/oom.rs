//! Whether the kernel killed a process because memory ran out.
//!
//! No stop announces that kill, and the exit status says only SIGKILL. The kernel's log names the process, in a line that is
//! written after the signal is sent (`mm/oom_kill.c`, `__oom_kill_process`). Where it comes too late for us, the counter of
//! the control group tells, which was raised before (`service/memory.rs`).

use std::time::Duration;

use super::kernel_log;
use crate::sys::Pid;

/// The kernel's line about that process, if it was killed for memory just now and the line is there already.
pub(super) fn evidence(process: Pid) -> Option<String> {
    kernel_log::search(Duration::ZERO, |message| {
        is_kill_of(message, process).then(|| message.to_owned())
    })
}

fn is_kill_of(message: &str, process: Pid) -> bool {
    message.contains(&format!("Killed process {process} ("))
        && message.to_ascii_lowercase().contains("out of memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_known_by_its_process() {
        let message = "Memory cgroup out of memory: Killed process 4711 (api) total-vm:1kB";
        assert!(is_kill_of(message, Pid(4711)));
        assert!(!is_kill_of(message, Pid(471)));
        assert!(!is_kill_of("usb 1-1: new device", Pid(1)));
    }
}
