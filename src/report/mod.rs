//! The one model of a report, and its renderings.
//!
//! A report is built by whoever examined the process, as a [`Report`]; everything that people or programs see of an
//! incident is rendered from that value alone. Nothing here reads a process, a file or the clock.

pub mod core;
pub mod escape;
pub mod format;
pub mod html;
pub mod minidump;
pub mod model;
mod summary;
pub mod text;
mod wording;
pub mod words;

#[cfg(test)]
pub(crate) mod sample;

pub use model::Report;
pub use summary::Summary;
