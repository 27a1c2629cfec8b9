//! `sickbay config`: the configuration's files and defaults as text.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config;

/// Show the configuration
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print every key with its explanation, commented out at its default
    Defaults,
    /// Print the configuration's files in the order in which they are read
    Cat {
        /// The file to print instead of /etc/sickbay and its drop-ins
        file: Option<PathBuf>,
    },
}

impl Config {
    /// Prints what was asked for. `root` stands for the root of the file system.
    ///
    /// # Errors
    ///
    /// [`config::LoadError`] if a file cannot be read, and whatever writing to `out` meets.
    pub fn run(self, root: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Defaults => out.write_all(config::DEFAULTS.as_bytes())?,
            What::Cat { file: Some(file) } => cat(&[file], out)?,
            What::Cat { file: None } => cat(&config::default_files(root)?, out)?,
        }
        Ok(ExitCode::SUCCESS)
    }
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
    fn defaults_are_the_file_itself() {
        let mut out = Vec::new();
        Config { what: What::Defaults }
            .run(Path::new("/"), &mut out)
            .unwrap();
        assert_eq!(out, config::DEFAULTS.as_bytes());
    }
}
