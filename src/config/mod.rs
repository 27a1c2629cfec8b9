//! The configuration: model, files, check.
//!
//! [`Config`] is what the rest of the program sees: plain values, every default filled in. It travels between
//! the processes as JSON, so its types derive plain serde. The *files* are TOML and are read by [`parse`], which
//! walks the document itself instead of deserialising it: serde stops at the first error and loses positions of
//! what it flattens, an administrator wants all errors at once, each with file, line and column.
//!
//! Left to others: where a state directory defaults to (`store`), what an action does.

mod action;
mod bounds;
mod defaults;
mod document;
mod files;
mod keys;
mod model;
mod parse;
mod problem;
mod schema;
mod show;
mod units;

pub use action::{Action, Ladder, UnknownAction};
pub use defaults::DEFAULTS;
pub use files::{DROP_IN_DIRS, LoadError, MAIN_FILE, default_files, load, load_default, read};
pub use model::{
    Cmdline, Config, CoreExtent, DontDump, Exits, Format, Isolation, Logs, OnStopRate, Origin, ReportOptions,
    Rescue, Retention, Rule, Service, Store, Target, UnknownFormat,
};
pub use parse::{Loaded, Unusable, parse};
pub(crate) use problem::closest;
pub use problem::{Problem, Severity};
pub use schema::schema;
pub use show::{Setting, settings, text};
pub use units::{Size, Span, UnitError};
