//! Reading one TOML document value by value, collecting what is wrong on the way.
//!
//! Every reader returns `None` after it has noted the problem: the caller keeps its default and goes on, so that
//! one look at a file finds all of its errors.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Lines, Problem, Severity, closest};
use super::{Origin, keys};

/// A value with its place in the text.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// One document and the problems found in it so far.
pub(super) struct Document<'t> {
    file: &'t Path,
    lines: Lines<'t>,
    problems: Vec<Problem>,
    /// Lines that are not TOML: what was recovered from them means nothing.
    broken: Vec<usize>,
}

impl<'t> Document<'t> {
    /// The document and its top-level table, as far as it could be recovered.
    pub(super) fn parse(file: &'t Path, text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self {
            file,
            lines: Lines::new(text),
            problems: Vec::new(),
            broken: Vec::new(),
        };
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            document.note(Severity::Error, span.clone(), error.message().to_owned(), None);
            document.broken.push(document.line(&span));
        }
        (document, table)
    }

    /// What was found, in the order of the text.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    /// The place of a span, for those who refer to it later.
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        Origin {
            file: self.file.to_owned(),
            line: self.line(span),
        }
    }

    /// Notes an error.
    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.note(Severity::Error, span, message.into(), hint);
    }

    /// Notes a warning.
    pub(super) fn warning(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.note(Severity::Warning, span, message.into(), hint);
    }

    /// Notes that something is absent, unless the document is broken: then it may be what broke.
    pub(super) fn missing(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        if self.broken.is_empty() {
            self.error(span, message, hint);
        }
    }

    /// Notes every key of a table that is not among those of its section.
    pub(super) fn expect_keys(&mut self, table: &DeTable<'_>, section: &keys::Section) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if section.keys.contains(&name) {
                continue;
            }
            let hint = closest(name, section.keys.iter().copied())
                .map(|known| format!("did you mean '{known}'?"))
                .or_else(|| keys::home_of(name).map(|home| format!("it belongs to {home}")))
                .unwrap_or_else(|| format!("the keys here are {}", section.keys.join(", ")));
            let message = format!("unknown key '{name}' in {}", section.title);
            self.error(key.span(), message, Some(hint));
            if let Some(problem) = self.problems.last_mut() {
                problem.unknown_key = true;
            }
        }
    }

    /// Reads `table.key` into `slot`; an absent or wrong value leaves it alone.
    pub(super) fn set<T>(
        &mut self,
        slot: &mut T,
        table: &DeTable<'t>,
        key: &str,
        read: impl FnOnce(&mut Self, &Value<'t>) -> Option<T>,
    ) {
        if let Some(value) = table.get(key).and_then(|value| read(self, value)) {
            *slot = value;
        }
    }

    pub(super) fn boolean(&mut self, value: &Value<'_>) -> Option<bool> {
        match *value.get_ref() {
            DeValue::Boolean(yes) => Some(yes),
            _ => self.wrong_type(value, "true or false"),
        }
    }

    /// A text that is not empty.
    pub(super) fn string(&mut self, value: &Value<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => {
                self.error(value.span(), "the text is empty", None);
                None
            }
            DeValue::String(text) => Some(text.to_string()),
            _ => self.wrong_type(value, "a text in quotes"),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer<T>(&mut self, value: &Value<'_>, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(value, "a whole number");
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
        match number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| bounds.contains(number))
        {
            Some(number) => Some(number),
            None => self.out_of_bounds(value, &bounds),
        }
    }

    /// A text with a unit, within bounds.
    pub(super) fn quantity<T>(&mut self, value: &Value<'_>, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => return self.wrong_type(value, "a text with a unit"),
        };
        match text.parse::<T>() {
            Ok(quantity) if bounds.contains(&quantity) => Some(quantity),
            Ok(_) => self.out_of_bounds(value, &bounds),
            Err(error) => {
                self.error(value.span(), error.to_string(), None);
                None
            }
        }
    }

    /// One of a set of words.
    pub(super) fn word<T>(&mut self, value: &Value<'_>, kind: &str, words: &[(&str, T)]) -> Option<T>
    where
        T: Clone,
    {
        let text = self.string(value)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.unknown(value, kind, &text, words.iter().map(|(word, _)| *word));
        }
        found.map(|(_, meaning)| meaning.clone())
    }

    /// A value or a list of values; what is wrong is noted and left out.
    pub(super) fn one_or_more<T>(
        &mut self,
        value: &Value<'t>,
        mut read: impl FnMut(&mut Self, &Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        match value.get_ref() {
            DeValue::Array(items) => Some(items.iter().filter_map(|item| read(self, item)).collect()),
            _ => read(self, value).map(|item| vec![item]),
        }
    }

    /// A list of values; what is wrong is noted and left out.
    pub(super) fn list<T>(
        &mut self,
        value: &Value<'t>,
        read: impl FnMut(&mut Self, &Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        match value.get_ref() {
            DeValue::Array(_) => self.one_or_more(value, read),
            _ => self.wrong_type(value, "a list in brackets"),
        }
    }

    /// The table under a `[title]` header.
    pub(super) fn table<'v>(&mut self, value: &'v Value<'t>, title: &str) -> Option<&'v DeTable<'t>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            DeValue::Array(_) => self.wrong_type(value, &format!("one table, [{title}]")),
            _ => self.wrong_type(value, &format!("a table, [{title}]")),
        }
    }

    /// The tables under `[[title]]` headers.
    pub(super) fn tables<'v>(
        &mut self,
        value: &'v Value<'t>,
        title: &str,
    ) -> Vec<(Range<usize>, &'v DeTable<'t>)> {
        let wanted = format!("a list of tables, [[{title}]]");
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type::<()>(value, &wanted);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((item.span(), table)),
                _ => drop(self.wrong_type::<()>(item, &wanted)),
            }
        }
        tables
    }

    /// Notes a name that does not exist, with the one that was probably meant.
    pub(super) fn unknown<'c>(
        &mut self,
        value: &Value<'_>,
        kind: &str,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str> + Clone,
    ) {
        /// Longer lists are not worth printing in full.
        const MAX_LISTED: usize = 12;
        let known: Vec<&str> = candidates.clone().into_iter().collect();
        let hint = match closest(name, candidates) {
            Some(meant) => Some(format!("did you mean '{meant}'?")),
            None if known.len() <= MAX_LISTED => Some(format!("known are {}", known.join(", "))),
            None => None,
        };
        self.error(value.span(), format!("unknown {kind} '{name}'"), hint);
    }

    /// Notes a value of the wrong type.
    pub(super) fn wrong_type<T>(&mut self, value: &Value<'_>, wanted: &str) -> Option<T> {
        let found = value.get_ref().type_str();
        self.error(
            value.span(),
            format!("expected {wanted}, found {}", with_article(found)),
            None,
        );
        None
    }

    fn out_of_bounds<T, B: Display>(&mut self, value: &Value<'_>, bounds: &RangeInclusive<B>) -> Option<T> {
        let message = format!("the value must be from {} to {}", bounds.start(), bounds.end());
        self.error(value.span(), message, None);
        None
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.lines.position(span.start).0
    }

    fn note(&mut self, severity: Severity, span: Range<usize>, message: String, hint: Option<String>) {
        let (line, column) = self.lines.position(span.start);
        let message = printable(&message);
        if !self.broken.contains(&line) {
            self.problems.push(Problem {
                file: self.file.to_owned(),
                line,
                column,
                severity,
                message,
                hint,
                unknown_key: false,
            });
        }
    }
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

/// The text without control characters: it quotes what is in the file, and goes to a terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}
