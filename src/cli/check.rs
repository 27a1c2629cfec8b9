//! `sickbay check`: what is wrong in the configuration, and exactly where.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::config::{self, Loaded, Problem, Severity};

/// Check the configuration; without FILE, what the machine's services would use
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The file to check instead of /etc/sickbay and its drop-ins
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The exit status for a configuration that cannot be used (sysexits.h, `EX_CONFIG`).
const BAD_CONFIGURATION: u8 = 78;

/// What `--json` prints.
#[derive(Serialize)]
struct Summary<'l> {
    files: &'l [PathBuf],
    services: usize,
    errors: usize,
    warnings: usize,
    problems: &'l [Problem],
}

impl Check {
    /// Prints every problem, then a summary. `root` stands for the root of the file system.
    ///
    /// The status is 78 if there are errors, and 0 if there are only warnings.
    ///
    /// # Errors
    ///
    /// [`config::LoadError`] if a file cannot be read, and whatever writing to `out` meets.
    pub fn run(self, root: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let loaded = match &self.file {
            Some(file) => config::load(file)?,
            None => config::load_default(root)?,
        };
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &summary(&loaded)).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            print(&loaded, out)?;
        }
        Ok(if loaded.has_errors() {
            ExitCode::from(BAD_CONFIGURATION)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn summary(loaded: &Loaded) -> Summary<'_> {
    Summary {
        files: &loaded.files,
        services: loaded.config.services.len(),
        errors: loaded.count(Severity::Error),
        warnings: loaded.count(Severity::Warning),
        problems: &loaded.problems,
    }
}

fn print(loaded: &Loaded, out: &mut dyn Write) -> std::io::Result<()> {
    for problem in &loaded.problems {
        writeln!(out, "{problem}")?;
    }
    if loaded.files.is_empty() {
        writeln!(out, "no configuration file; every default holds")?;
    }
    let Summary {
        services,
        errors,
        warnings,
        ..
    } = summary(loaded);
    let services = if services == 0 {
        "no service configured".to_owned()
    } else {
        count(services, "service")
    };
    writeln!(
        out,
        "{services}, {}, {}",
        count(errors, "error"),
        count(warnings, "warning")
    )
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, json: bool) -> (String, ExitCode) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut out = Vec::new();
        let check = Check {
            file: Some(file.path().to_owned()),
            json,
        };
        let code = check.run(Path::new("/"), &mut out).unwrap();
        (
            String::from_utf8(out)
                .unwrap()
                .replace(&*file.path().to_string_lossy(), "FILE"),
            code,
        )
    }

    #[test]
    fn warnings_do_not_fail_and_errors_do() {
        let (out, code) = check(
            "[[service]]\nname = \"a\"\n[[service.rule]]\nsignals = \"SIGKILL\"\naction = \"deliver\"\n[[service]]\nname = \"b\"\n",
            false,
        );
        assert_eq!(
            out,
            "FILE:4:11: warning: no rule ever sees SIGKILL; see 'exits' in [service.report]\n\
             2 services, 0 errors, 1 warning\n"
        );
        assert_eq!(code, ExitCode::SUCCESS);
        let (out, code) = check("[[service]]\nname = 1\n", false);
        assert_eq!(
            out,
            "FILE:2:8: error: expected a text in quotes, found an integer\n1 service, 1 error, 0 warnings\n"
        );
        assert_eq!(code, ExitCode::from(78));
    }

    #[test]
    fn an_empty_file_is_said_to_configure_nothing() {
        assert_eq!(
            check("", false),
            (
                "no service configured, 0 errors, 0 warnings\n".into(),
                ExitCode::SUCCESS
            )
        );
    }

    #[test]
    fn json_says_the_same() {
        let (out, code) = check("x = 1\n", true);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["errors"], 1);
        assert_eq!(value["problems"][0]["line"], 1);
        assert_eq!(value["problems"][0]["severity"], "error");
        assert_eq!(code, ExitCode::from(78));
    }

    #[test]
    fn without_a_file_the_defaults_are_checked() {
        let root = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        Check {
            file: None,
            json: false,
        }
        .run(root.path(), &mut out)
        .unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.starts_with("no configuration file; every default holds\nno service configured"),
            "{out}"
        );
    }
}
