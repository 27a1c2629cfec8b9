//! Messages between the three processes.
