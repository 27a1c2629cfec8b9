//! Which processes belong to a service.
//!
//! | file | subject |
//! |---|---|
//! | [`finder`] | from a target of the configuration to the processes that exist |
//! | [`cgroups`] | the control groups of this machine: units, processes |
//! | [`identity`] | what the service manager calls a process |
//! | [`process`] | what /proc says about one process |
//! | [`notices`] | which of the places changed where a service's processes come and go |
//!
//! A unit is found by its control group alone: no bus is asked, so this holds in a container and while the service
//! manager is busy. The kernel's own notice (`cgroup.events`, cgroup-v2) comes before any message of the manager.
//!
//! Left to others: attaching, and refusing what must not be attached ([`trace::attach`](crate::trace::attach)).

pub mod cgroups;
pub mod finder;
pub mod identity;
pub mod notices;
pub mod process;

pub use cgroups::Cgroups;
pub use finder::{Absent, Finder};
pub use identity::Identity;
pub use notices::Notices;
pub use process::Member;
