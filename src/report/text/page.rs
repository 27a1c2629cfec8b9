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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_say_what_they_leave_out() {
        let mut page = Page::default();
        page.lines([1, 2, 3], 2, |page, item| page.line(format_args!("{item}")));
        assert_eq!(page.finish(), "1\n2\n  ... 1 more in report.json\n");
    }
}
