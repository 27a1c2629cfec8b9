//! Values that have a meaning of their own: names, actions, signals, patterns, paths.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::document::{Document, Value};
use crate::config::{Cmdline, CoreExtent, Format, Ladder, bounds};
use crate::sys::SigNo;
use crate::sys::signal::DefaultAction;

/// The longest name of a service, in bytes: it becomes part of report ids and file names.
const MAX_NAME: usize = 64;
/// The longest thread name, in bytes: `TASK_COMM_LEN` of the kernel without its final zero.
const MAX_COMM: usize = 15;

/// A name that can stand in file names and on command lines.
pub(super) fn service_name(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let name = document.string(value)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    if name.len() > MAX_NAME || !name.chars().all(allowed) || name.starts_with(['-', '.']) {
        let message = format!("'{}' cannot name a service", name.escape_debug());
        let hint = format!("use at most {MAX_NAME} letters, digits and . _ @ -, the first a letter or digit");
        document.error(value.span(), message, Some(hint));
        return None;
    }
    Some(name)
}

/// An action, or a list of actions in the order in which they are tried.
pub(super) fn ladder<'t>(document: &mut Document<'t>, value: &Value<'t>) -> Option<Ladder> {
    if matches!(value.get_ref(), DeValue::Array(steps) if steps.is_empty()) {
        document.error(
            value.span(),
            "the list of actions is empty",
            Some("add \"deliver\"".to_owned()),
        );
        return None;
    }
    let steps = document.one_or_more(value, step)?;
    Some(Ladder(steps.into_iter().flat_map(|step| step.0).collect()))
}

/// One word of a ladder.
fn step(document: &mut Document<'_>, value: &Value<'_>) -> Option<Ladder> {
    let word = document.string(value)?;
    let step = Ladder::from_word(&word);
    if step.is_none() {
        let words: Vec<&str> = Ladder::words().collect();
        document.unknown(value, "action", &word, words);
    }
    step
}

pub(super) fn signal(document: &mut Document<'_>, value: &Value<'_>) -> Option<SigNo> {
    let name = document.string(value)?;
    let signal = SigNo::from_name(&name);
    if signal.is_none() {
        let known: Vec<&str> = SigNo::standard_names().collect();
        document.unknown(value, "signal", &name, known);
    }
    signal
}

/// A signal that can be a fault.
pub(super) fn fault_signal(document: &mut Document<'_>, value: &Value<'_>) -> Option<SigNo> {
    let signal = signal(document, value)?;
    if signal == SigNo::KILL {
        let hint = "see 'exits' in [service.report]".to_owned();
        document.warning(value.span(), "no rule ever sees SIGKILL", Some(hint));
    } else if !matches!(
        signal.default_action(),
        DefaultAction::Core | DefaultAction::Terminate
    ) {
        document.warning(
            value.span(),
            format!("{signal} ends no process, so no rule ever sees it"),
            None,
        );
    }
    Some(signal)
}

pub(super) fn thread_pattern(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let pattern = document.string(value)?;
    if pattern.bytes().filter(|byte| *byte != b'*').count() > MAX_COMM {
        let message =
            format!("'{pattern}' matches nothing: the kernel cuts thread names to {MAX_COMM} bytes");
        document.warning(value.span(), message, None);
    }
    Some(pattern)
}

pub(super) fn variable_pattern(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let pattern = document.string(value)?;
    if pattern.chars().all(|c| c == '*') {
        document.warning(value.span(), "every variable is recorded, secrets included", None);
    }
    Some(pattern)
}

pub(super) fn format(document: &mut Document<'_>, value: &Value<'_>) -> Option<Format> {
    let words = Format::ALL.map(|format| (format.name(), format));
    document.word(value, "format", &words)
}

pub(super) fn core_extent(document: &mut Document<'_>, value: &Value<'_>) -> Option<CoreExtent> {
    document.word(value, "extent of a core", &bounds::CORE_EXTENTS)
}

pub(super) fn cmdline(document: &mut Document<'_>, value: &Value<'_>) -> Option<Cmdline> {
    match value.get_ref() {
        DeValue::Boolean(true) => Some(Cmdline::Full),
        DeValue::Boolean(false) => Some(Cmdline::Off),
        DeValue::String(text) if text == "mask" => Some(Cmdline::Mask),
        _ => document.wrong_type(value, "true, false or \"mask\""),
    }
}

/// A regular expression, as it is written.
pub(super) fn pattern(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let pattern = document.string(value)?;
    if let Err(error) = regex_lite::Regex::new(&pattern) {
        let message = format!("'{pattern}' is not a regular expression: {error}");
        document.error(value.span(), message, None);
        return None;
    }
    Some(pattern)
}

/// A pattern of files, absolute.
pub(super) fn file_pattern(document: &mut Document<'_>, value: &Value<'_>) -> Option<String> {
    let pattern = document.string(value)?;
    if let Err(error) = glob::Pattern::new(&pattern) {
        let message = format!("'{pattern}' is not a pattern of files: {error}");
        document.error(value.span(), message, None);
        return None;
    }
    absolute(document, value).map(|_| pattern)
}

pub(super) fn absolute(document: &mut Document<'_>, value: &Value<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(document.string(value)?);
    if path.is_absolute() {
        return Some(path);
    }
    let message = format!("'{}' is not an absolute path", path.display());
    document.error(value.span(), message, Some("begin it with /".to_owned()));
    None
}
