//! The one model of a report, and its renderings.
