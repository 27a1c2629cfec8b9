//! Lines of text, each of them escaped as a whole, and coloured where a terminal shows them.

use std::fmt;

use super::super::escape::escaped;

/// How a part of a line is shown on a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    Plain,
    Strong,
    /// What went wrong.
    Alarm,
    /// The name of what follows.
    Label,
    /// What is rarely read.
    Dim,
}

/// A text under construction.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    colour: bool,
    unlimited: bool,
}

impl Style {
    /// The attributes of the terminal (ECMA-48, "select graphic rendition"); none for plain text.
    const fn attributes(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Alarm => Some("1;31"),
            Self::Label => Some("36"),
            Self::Dim => Some("2"),
        }
    }
}

impl Page {
    /// An empty page, with colour or without; `unlimited` if its lists are not cut.
    pub(super) fn new(colour: bool, unlimited: bool) -> Self {
        Self {
            text: String::new(),
            colour,
            unlimited,
        }
    }

    /// Appends one line; whatever its parts contain, it stays one line.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        self.styled(Style::Plain, line);
    }

    /// Appends one line in one style.
    pub(super) fn styled(&mut self, style: Style, line: fmt::Arguments<'_>) {
        self.parts(&[(style, line.to_string().trim_end())]);
    }

    /// Appends one line of several parts.
    pub(super) fn parts(&mut self, parts: &[(Style, &str)]) {
        for (style, part) in parts {
            let attributes = style.attributes().filter(|_| self.colour && !part.is_empty());
            let part = escaped(part);
            match attributes {
                Some(attributes) => self.text += &format!("\x1b[{attributes}m{part}\x1b[0m"),
                None => self.text += &part.to_string(),
            }
        }
        self.text.push('\n');
    }

    /// Appends a section's heading.
    pub(super) fn heading(&mut self, heading: fmt::Arguments<'_>) {
        self.text.push('\n');
        self.styled(Style::Strong, heading);
    }

    /// Appends one line for each of the first `limit` items, and says how many are left.
    pub(super) fn lines<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        limit: usize,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let limit = if self.unlimited { usize::MAX } else { limit };
        let mut items = items.into_iter();
        for item in items.by_ref().take(limit) {
            write(self, item);
        }
        if items.len() > 0 {
            self.styled(
                Style::Dim,
                format_args!("  ... {} more (sickbay show --all)", items.len()),
            );
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
        let listed = |unlimited| {
            let mut page = Page::new(false, unlimited);
            page.lines([1, 2, 3], 2, |page, item| page.line(format_args!("{item}")));
            page.finish()
        };
        assert_eq!(listed(false), "1\n2\n  ... 1 more (sickbay show --all)\n");
        assert_eq!(listed(true), "1\n2\n3\n");
    }

    #[test]
    fn colour_surrounds_what_was_escaped() {
        let mut page = Page::new(true, false);
        page.parts(&[(Style::Label, "a\x1b"), (Style::Plain, "b"), (Style::Alarm, "")]);
        assert_eq!(page.finish(), "\x1b[36ma\\x1b\x1b[0mb\n");
    }
}
