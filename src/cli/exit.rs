//! The exit codes of every verb but `run`, which ends with its command's.

/// It worked.
pub const SUCCESS: u8 = 0;
/// It failed.
pub const FAILURE: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// No daemon is running.
pub const NO_DAEMON: u8 = 3;
/// There is no such service or report.
pub const NOT_FOUND: u8 = 4;
/// The kernel or the daemon does not permit it.
pub const NOT_PERMITTED: u8 = 5;
/// Some of it worked.
pub const PARTIAL: u8 = 6;
/// The configuration is wrong.
pub const BAD_CONFIG: u8 = 78;

/// All of them with their meaning, for the manual.
pub(super) const TABLE: [(u8, &str); 8] = [
    (SUCCESS, "It worked."),
    (FAILURE, "It failed."),
    (USAGE, "The command line makes no sense."),
    (NO_DAEMON, "No daemon is running."),
    (NOT_FOUND, "There is no such service or report."),
    (NOT_PERMITTED, "The kernel or the daemon does not permit it."),
    (PARTIAL, "Some of it worked."),
    (BAD_CONFIG, "The configuration is wrong."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_the_same() {
        let readme = include_str!("../../README.md");
        let rows: String = TABLE
            .iter()
            .map(|(code, meaning)| format!("| {code} | {meaning} |\n"))
            .collect();
        assert!(readme.contains(&rows), "{rows}");
    }
}
