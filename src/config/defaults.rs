//! The file that shows every key at its default; the tests hold it to the model and to the known keys.

/// `config/sickbay.toml`: every key, commented out at its default, with its explanation.
pub const DEFAULTS: &str = include_str!("../../config/sickbay.toml");

/// What the file says about a key of a section: the comment above it, or else behind it.
pub(super) fn explanation(title: &str, key: &str) -> Option<String> {
    let plain = |line: &'static str| line.trim_start_matches('#').trim_start();
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    let section = lines.iter().position(|line| plain(line) == title)?;
    let rest = lines.get(section + 1..)?;
    let end = rest.iter().position(|line| plain(line).starts_with('['));
    let body = rest.get(..end.unwrap_or(rest.len()))?;
    let says = |line: &&str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "));
    let place = body.iter().position(|line| says(&plain(line)))?;
    let above = body.get(..place)?.iter().rev();
    let mut comment: Vec<&str> = above
        .take_while(|line| line.starts_with("# ") && !line.contains(" = "))
        .map(|line| plain(line))
        .collect();
    comment.reverse();
    if comment.is_empty() {
        comment.extend(
            body.get(place)?
                .split_once("  # ")
                .map(|(_, behind)| behind.trim()),
        );
    }
    (!comment.is_empty()).then(|| comment.join(" "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Service, Severity, keys, parse};

    /// The text with every default commented in.
    fn uncommented() -> String {
        let line = |line: &'static str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '[') => rest,
            _ => line,
        };
        DEFAULTS.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn as_it_is_it_configures_nothing() {
        let loaded = parse(Path::new("sickbay.toml"), DEFAULTS);
        assert_eq!((loaded.config, loaded.problems), (Config::default(), vec![]));
    }

    #[test]
    fn with_every_key_commented_in_it_says_the_defaults() {
        let loaded = parse(Path::new("sickbay.toml"), &uncommented());
        assert_eq!(loaded.count(Severity::Error), 0, "{:?}", loaded.problems);
        let services = vec![Service::for_run("example")];
        assert_eq!(
            loaded.config,
            Config {
                services,
                ..Config::default()
            }
        );
    }

    #[test]
    fn a_key_is_explained_above_or_behind_it() {
        let said = |title: &str, key: &str| explanation(title, key).unwrap_or_default();
        assert_eq!(said("[store]", "max_age"), "Older reports go.");
        assert_eq!(said("[[service]]", "pid"), "a process id");
        assert!(said("[[service]]", "on_fault").ends_with("nobody would release."));
        assert_eq!(said("[service.logs]", "nothing"), "");
    }

    #[test]
    fn it_shows_every_key() {
        let shown = |wanted: &str| {
            DEFAULTS.lines().any(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.strip_prefix(wanted)
                    .is_some_and(|rest| rest.starts_with(" = "))
                    || line.trim_matches(['[', ']']).rsplit('.').next() == Some(wanted)
            })
        };
        for section in keys::ALL {
            for key in section.keys {
                assert!(
                    shown(key),
                    "'{key}' of {} is not in config/sickbay.toml",
                    section.title
                );
            }
        }
    }
}
