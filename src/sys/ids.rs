//! Names for tasks, as the tracer's pid namespace sees them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A thread group id: what `getpid(2)` returns and `/proc/PID` is named after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub i32);

/// A task id: what `gettid(2)` returns and `/proc/PID/task/TID` is named after.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tid(pub i32);

/// When a task started, in clock ticks after boot (field 22 of `/proc/PID/stat`, proc(5)).
///
/// Together with the id it names a task for good: ids are reused, a pair is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartTime(pub u64);

impl Pid {
    /// The thread group leader's own task id.
    pub const fn leader(self) -> Tid {
        Tid(self.0)
    }
}

impl Tid {
    /// The process that this task leads, if it is a leader.
    pub const fn as_process(self) -> Pid {
        Pid(self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
