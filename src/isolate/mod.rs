//! Sends one stopped thread somewhere else than where its signal would take it.
//!
//! | file | subject |
//! |---|---|
//! | [`sites`] | code of the process itself through which a thread is sent: its system call instruction, its way back |
//! | [`inject`] | one system call in a stopped thread, which then is in the same stop again |
//! | [`exit`] | the thread ends, alone |
//! | [`throw`] | the fault becomes an exception of the program |
//! | [`unwind`] | the thread ends, its destructors run |
//! | [`rescue`] | the thread returns to an outer frame |
//! | [`skip`] | the thread goes on behind its instruction |
//! | [`park`] | the thread sleeps for good |
//! | [`snapshot`] | a copy of the whole process, which never runs |
//! | [`watch`] | who waits for an isolated thread |
//! | `landing` | where a system call begins, and what follows if it returns |
//! | `call` | an outer frame appears to call a function |
//! | `chain` | functions called one after the other, by the thread itself |
//! | `floating` | what a function may find of floating point registers |
//!
//! Every step here is written for the death of this process in front of the next one. Until a thread has been let go
//! on, its stop still holds its signal, which the kernel delivers if we end. Once it runs, its registers and its stack
//! lead it back to where it was without us. So whatever happens, the thread takes its signal, or is where the action
//! wanted it.

mod call;
mod chain;
pub mod exit;
mod floating;
pub mod inject;
mod landing;
pub mod park;
pub mod rescue;
pub mod sites;
pub mod skip;
pub mod snapshot;
pub mod throw;
pub mod unwind;
pub mod watch;
