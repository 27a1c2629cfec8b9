//! Columns of text, as wide as their content, each cell escaped.

use std::fmt::Write;

use crate::report::escape::escaped;

/// The widest that a cell gets, in characters; ids are shorter than two thirds of it.
const MAX_WIDTH: usize = 72;
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// A table with a heading.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Cells(Vec<String>),
    Note(String),
}

impl Table {
    /// A table with these headings.
    pub(super) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![Row::Cells(headings.map(str::to_owned).to_vec())],
        }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(Row::Cells(cells.iter().map(|cell| fitted(cell)).collect()));
    }

    /// Adds a row of a name and a text that knows no columns.
    pub(super) fn note(&mut self, name: &str, text: &str) {
        self.rows
            .push(Row::Note(format!("{}  {}", fitted(name), escaped(text))));
    }

    /// The text; with colour, the heading is bold and notes are red.
    pub(super) fn render(&self, colour: bool) -> String {
        let mut widths = Vec::new();
        for cells in self.rows.iter().filter_map(Row::cells) {
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let line = match row {
                Row::Cells(cells) => aligned(cells, &widths),
                Row::Note(note) => note.clone(),
            };
            let style = match row {
                _ if !colour => None,
                Row::Cells(_) if number == 0 => Some(BOLD),
                Row::Cells(_) => None,
                Row::Note(_) => Some(RED),
            };
            // Writing to a String does not fail.
            let _ = match style {
                Some(style) => writeln!(text, "{style}{line}{PLAIN}"),
                None => writeln!(text, "{line}"),
            };
        }
        text
    }
}

impl Row {
    fn cells(&self) -> Option<&[String]> {
        match self {
            Self::Cells(cells) => Some(cells),
            Self::Note(_) => None,
        }
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    cells.join("  ").trim_end().to_owned()
}

fn fitted(cell: &str) -> String {
    let cell = escaped(cell).to_string();
    if cell.chars().count() <= MAX_WIDTH {
        return cell;
    }
    cell.chars().take(MAX_WIDTH - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_content_and_bounded() {
        let mut table = Table::new(["A", "B"]);
        table.row(["é".to_owned(), "x".repeat(100)]);
        table.row(["long".to_owned(), String::new()]);
        table.note("name", "a\nb");
        let expected = format!(
            "A     B\né     {}...\nlong\nname  a\\nb\n",
            "x".repeat(MAX_WIDTH - 3)
        );
        assert_eq!(table.render(false), expected);
        assert!(table.render(true).starts_with("\x1b[1mA     B\x1b[0m\n"));
    }
}
