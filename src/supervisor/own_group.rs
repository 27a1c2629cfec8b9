//! Copied processes in our own control group instead of their service's.
//!
//! A copy is born into the group of its service. There a service manager would wait for its end before it starts the
//! service again, and in the end kill it; a limit of the number of processes would count it. Its memory stays charged to
//! the service's group all the same (cgroups(7)): the tracer has looked whether there is room.

use std::fs;
use std::io;

use crate::service::cgroups::Cgroups;
use crate::sys::Pid;

/// Moves a copied process to the group that this process is in.
pub(super) fn adopt(copy: Pid) {
    if let Err(error) = try_adopt(copy) {
        log::warn!(
            "cannot move {copy}, the copy of a process whose core is being written, out of its control group: {error}; \
             a service manager may wait for it, or end it"
        );
    }
}

fn try_adopt(copy: Pid) -> io::Result<()> {
    let Some(cgroups) = Cgroups::mounted() else {
        return Ok(());
    };
    let own = cgroups.of_process(Pid(std::process::id() as i32));
    let Some(own) = own.filter(|own| cgroups.of_process(copy).is_some_and(|theirs| theirs != *own)) else {
        return Ok(());
    };
    let directory = cgroups.directory(&own).ok_or(io::ErrorKind::NotFound)?;
    fs::write(directory.join("cgroup.procs"), copy.to_string())
}
