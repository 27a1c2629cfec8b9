//! What the kernel offers, with types that make misuse hard to write. The only unsafe code.
//!
//! Numbers from the kernel stay raw ([`Tid`], [`SigNo`], [`StartTime`]) and are named only when shown:
//! realtime signals exist, and an unknown value must pass through unchanged.
#![allow(unsafe_code)]

mod ids;
pub mod regs;
pub mod signal;

pub use ids::{Pid, StartTime, Tid};
pub use signal::SigNo;
