//! Who holds a lock, and who waits for it.

use super::super::model::{Lock, Report};
use super::super::words::count;
use super::thread::title_of;

/// Waiting threads that are named.
const MAX_NAMES: usize = 8;

/// `held by 4828 worker-117`
pub(in crate::report) fn holder(report: &Report, lock: &Lock) -> String {
    match (lock.owner_tid, lock.readers) {
        (Some(tid), _) if lock.kind.as_deref() == Some("pthread_join") => {
            format!("end of {}", title_of(report, tid))
        }
        (Some(tid), _) if lock.owner_ended => format!("held by {tid}, which has ended"),
        (Some(tid), _) => format!("held by {}", title_of(report, tid)),
        (None, Some(readers)) => format!("held for reading by {}", count(readers as usize, "thread")),
        (None, None) => "no owner known".to_owned(),
    }
}

/// `3 waiting: 4712 worker-0, 4713 worker-1, 4714 worker-2`
pub(in crate::report) fn waiters(report: &Report, lock: &Lock) -> String {
    if lock.waiters.is_empty() {
        return String::new();
    }
    let names: Vec<String> = lock
        .waiters
        .iter()
        .take(MAX_NAMES)
        .map(|tid| title_of(report, *tid))
        .collect();
    let more = match lock.waiters.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} waiting: {}{more}", lock.waiters.len(), names.join(", "))
}
