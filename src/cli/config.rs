//! `sickbay config`: what holds, where it is written, the files, the defaults, the schema.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output::Output;
use crate::config::{self, Severity, Unusable};

/// Show the configuration
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print every key with the value that holds, as one file would say it
    Show {
        /// Print behind each value where it is written
        #[arg(long)]
        origin: bool,
        /// Print an array of JSON objects: section, key, value, origin
        #[arg(long)]
        json: bool,
        /// The file to read instead of /etc/sickbay and its drop-ins
        file: Option<PathBuf>,
        /// The same, as other verbs take it
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        config: Option<PathBuf>,
    },
    /// Print every key with its explanation, commented out at its default
    Defaults,
    /// Print the configuration's files in the order in which they are read
    Cat {
        /// The file to print instead of /etc/sickbay and its drop-ins
        file: Option<PathBuf>,
    },
    /// Print the JSON schema of a configuration file
    Schema,
}

impl Config {
    /// Prints what was asked for. `root` stands for the root of the file system.
    ///
    /// # Errors
    ///
    /// [`config::LoadError`] if a file cannot be read, [`Unusable`] if it is to be shown and has errors, and whatever writing to `out` meets.
    pub fn run(self, root: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Show {
                origin,
                json,
                file,
                config,
            } => show(root, file.or(config).as_deref(), origin, json, out)?,
            What::Schema => Output::to(out).json(&config::schema())?,
            What::Defaults => out.write_all(config::DEFAULTS.as_bytes())?,
            What::Cat { file: Some(file) } => cat(&[file], out)?,
            What::Cat { file: None } => cat(&config::default_files(root)?, out)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What holds. Unknown keys say nothing and are passed over with a warning, as by the daemon.
fn show(
    root: &Path,
    file: Option<&Path>,
    with_origins: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let loaded = match file {
        Some(file) => config::load(file)?,
        None => config::load_default(root)?,
    };
    let (problems, fatal): (Vec<_>, Vec<_>) = loaded
        .problems
        .iter()
        .cloned()
        .partition(|problem| problem.unknown_key || problem.severity == Severity::Warning);
    for problem in problems {
        log::warn!("{problem}");
    }
    if !fatal.is_empty() {
        return Err(Unusable(fatal).into());
    }
    let mut output = Output::to(out);
    if json {
        output.json(&config::settings(&loaded))?;
    } else {
        output.text(&config::text(&loaded, with_origins))?;
    }
    Ok(())
}

/// Each file under a comment with its name, so that the whole is TOML again.
fn cat(files: &[PathBuf], out: &mut dyn Write) -> anyhow::Result<()> {
    for (index, file) in files.iter().enumerate() {
        let bytes = config::read(file)?;
        let gap = if index == 0 { "" } else { "\n" };
        writeln!(out, "{gap}# {}", file.display())?;
        out.write_all(&bytes)?;
        if !bytes.ends_with(b"\n") && !bytes.is_empty() {
            writeln!(out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_printed_in_order_with_their_names() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/sickbay/conf.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(root.path().join("etc/sickbay/sickbay.toml"), "[store]").unwrap();
        std::fs::write(directory.join("10-a.toml"), "# a\n").unwrap();
        let mut out = Vec::new();
        Config {
            what: What::Cat { file: None },
        }
        .run(root.path(), &mut out)
        .unwrap();
        let out = String::from_utf8(out)
            .unwrap()
            .replace(&*root.path().to_string_lossy(), "");
        assert_eq!(
            out,
            "# /etc/sickbay/sickbay.toml\n[store]\n\n# /etc/sickbay/conf.d/10-a.toml\n# a\n"
        );
    }

    #[test]
    fn what_holds_is_shown_with_its_origin() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("etc/sickbay/conf.d");
        std::fs::create_dir_all(&directory).unwrap();
        let main = root.path().join("etc/sickbay/sickbay.toml");
        std::fs::write(
            &main,
            "[store]\nmax_size = \"1GiB\"\nmax_age = \"1d\"\nunknown = 1\n",
        )
        .unwrap();
        std::fs::write(directory.join("10-a.toml"), "[store]\nmax_size = \"2GiB\"\n").unwrap();
        let shown = |json| {
            let mut out = Vec::new();
            let origin = true;
            let what = What::Show {
                origin,
                json,
                file: None,
                config: None,
            };
            Config { what }
                .run(root.path(), &mut out)
                .map(|_| String::from_utf8(out).unwrap())
        };
        let text = shown(false).unwrap();
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(
            line("max_size = \"2GiB\" ").ends_with("etc/sickbay/conf.d/10-a.toml:2"),
            "{text}"
        );
        assert!(
            line("max_age = \"1d\" ").ends_with("etc/sickbay/sickbay.toml:3"),
            "{text}"
        );
        assert!(line("keep_free = ").ends_with("# default"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&shown(true).unwrap()).unwrap();
        assert_eq!(json[0]["key"], "max_size");
        assert_eq!(json[0]["value"], "2GiB");
        assert_eq!(json[0]["origin"]["line"], 2);

        std::fs::write(&main, "[store]\nmax_size = 1\n").unwrap();
        let error = shown(false).unwrap_err();
        assert!(error.is::<Unusable>(), "{error:#}");
    }

    #[test]
    fn defaults_are_the_file_itself() {
        let mut out = Vec::new();
        Config { what: What::Defaults }
            .run(Path::new("/"), &mut out)
            .unwrap();
        assert_eq!(out, config::DEFAULTS.as_bytes());
    }
}
