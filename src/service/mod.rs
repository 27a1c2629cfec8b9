//! Which processes belong to a service.
//!
//! | file | subject |
//! |---|---|
//! | [`finder`] | from a target of the configuration to the processes that exist |
//! | [`cgroups`] | the control groups of this machine: units, processes |
//! | [`identity`] | what the service manager calls a process |
//! | [`memory`] | how often the kernel has killed for memory in the groups of a service |
//! | [`process`] | what /proc says about one process |
//! | `unit_files` | which units are defined, and under which other names |
//! | [`notices`] | which of the places changed where a service's processes come and go |
//!
//! A unit is found by its control group alone; no bus is asked. systemd makes a unit's group, in whatever slice, before
//! its first process, and names it after the unit: the kernel's notices of the group that is made (inotify) and of its
//! first process (`cgroup.events`, cgroups(7)) come before any message of the manager, also while that is busy, while the
//! bus is restarted, and in a container that has none. Names that are aliases are links among the unit files.
//!
//! What is given up: units of a user's own manager are not found by `unit` (name their `cgroup`), nor is an alias that
//! only the manager knows. A bus would add a dependency, a connection that can be lost, and nothing that is found sooner.
//!
//! Left to others: attaching, and refusing what must not be attached ([`trace::attach`](crate::trace::attach)).

pub mod cgroups;
pub mod finder;
pub mod identity;
pub mod memory;
pub mod notices;
pub mod process;
mod unit_files;

pub use cgroups::Cgroups;
pub use finder::{Absent, Finder};
pub use identity::Identity;
pub use memory::MemoryGroups;
pub use notices::Notices;
pub use process::Member;
