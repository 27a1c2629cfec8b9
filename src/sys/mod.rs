//! What the kernel offers, with types that make misuse hard to write. The only unsafe code.
//!
//! Numbers from the kernel stay raw ([`Tid`], [`SigNo`], [`StartTime`]) and are named only when shown:
//! realtime signals exist, and an unknown value must pass through unchanged.
#![allow(unsafe_code)]

pub mod acl;
pub mod aside;
pub mod deadline;
pub mod fail;
mod ids;
pub mod mapped;
pub mod memory;
pub mod news;
pub mod pidfd;
pub mod process;
pub mod ptrace;
pub mod regs;
pub mod robust;
pub mod signal;
pub mod signal_queue;
pub mod socket;
pub mod status;
pub mod tasks;
pub mod thread_end;
mod timer;
pub mod wait;
pub mod wake;

pub use ids::{Pid, StartTime, Tid};
pub use signal::SigNo;
