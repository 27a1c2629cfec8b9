//! The configuration: model, files, check.
