//! Lines of text, each of them escaped as a whole.

use std::fmt;

use super::super::escape::escaped;

/// A text under construction.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Appends one line; whatever its parts contain, it stays one line.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        use fmt::Write;
        let line = line.to_string();
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{}", escaped(line.trim_end()));
    }

    /// Appends a section's heading.
    pub(super) fn heading(&mut self, heading: fmt::Arguments<'_>) {
        self.text.push('\n');
        self.line(heading);
    }

    /// Appends one line for each of the first `limit` items, and says how many are left.
    pub(super) fn lines<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        limit: usize,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let mut items = items.into_iter();
        for item in items.by_ref().take(limit) {
            write(self, item);
        }
        if items.len() > 0 {
            self.line(format_args!("  ... {} more in report.json", items.len()));
        }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// A duration in microseconds for people: `310 us`, `4.2 ms`, `1.5 s`, `3 h 13 min`.
pub(super) fn duration(us: u64) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        1_000_000..60_000_000 => format!("{seconds}.{} s", us % 1_000_000 / 100_000),
        60_000_000..3_600_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600_000_000..86_400_000_000 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `1 thread`, `2 threads`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_down() {
        let shown = [
            0,
            999,
            1_000,
            4_299,
            1_500_000,
            61_000_000,
            11_580_000_000,
            90_000_000_000,
        ]
        .map(duration);
        assert_eq!(
            shown,
            [
                "0 us",
                "999 us",
                "1.0 ms",
                "4.2 ms",
                "1.5 s",
                "1 min 1 s",
                "3 h 13 min",
                "1 d 1 h"
            ]
        );
    }

    #[test]
    fn lists_say_what_they_leave_out() {
        let mut page = Page::default();
        page.lines([1, 2, 3], 2, |page, item| page.line(format_args!("{item}")));
        assert_eq!(page.finish(), "1\n2\n  ... 1 more in report.json\n");
    }
}
