//! Copies a stopped thread or process into a Capture; interprets nothing.
