//! The recorder process: from a capture to the files of a report.
