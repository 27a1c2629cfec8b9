//! `sickbay man`: the manual pages, made of the same definitions as the command line itself.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Command;
use clap_mangen::Man as Page;

use super::exit;

/// Print the manual page, or write those of every verb
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Write sickbay.1 and a page for each verb (sickbay-run.1, ...) into that directory
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    /// Prints the page, or writes all of them.
    ///
    /// # Errors
    ///
    /// Whatever writing meets.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let command = super::command();
        match self.directory {
            Some(directory) => {
                let written = write_all(&directory, &command);
                written.with_context(|| format!("cannot write to {}", directory.display()))?;
            }
            None => out.write_all(&main_page(&command)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write_all(directory: &Path, command: &Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command.clone(), directory)?;
    fs::write(directory.join("sickbay.1"), main_page(command)?)
}

/// The page of the program, with what no definition of the command line knows: exit statuses and files.
fn main_page(command: &Command) -> io::Result<Vec<u8>> {
    let page = Page::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    page.render_subcommands_section(&mut text)?;
    writeln!(text, ".SH \"EXIT STATUS\"")?;
    writeln!(
        text,
        "\\fBrun\\fR ends with the status of its program, or with 128 and the number of the signal that ended it."
    )?;
    for (status, meaning) in exit::TABLE {
        writeln!(text, ".TP\n{status}\n{meaning}")?;
    }
    writeln!(text, ".SH FILES")?;
    for (file, meaning) in FILES {
        writeln!(text, ".TP\n\\fI{file}\\fR\n{meaning}")?;
    }
    page.render_version_section(&mut text)?;
    Ok(text)
}

/// Where things are, for the manual.
const FILES: [(&str, &str); 4] = [
    (
        "/etc/sickbay/sickbay.toml, /etc/sickbay/conf.d/*.toml",
        "The configuration; also below /run and /usr/lib. 'sickbay config defaults' explains every key.",
    ),
    (
        "/var/lib/sickbay/reports",
        "The reports of the machine's service.",
    ),
    ("/run/sickbay/control.sock", "Where the daemon is asked."),
    (
        "/run/sickbay/watch/PID.sock, $XDG_RUNTIME_DIR/sickbay/watch/PID.sock",
        "Where 'run' and 'attach' are asked, of root and of other users; in units also below $RUNTIME_DIRECTORY.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_and_every_status_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let man = Man {
            directory: Some(directory.path().to_owned()),
        };
        man.run(&mut Vec::new()).unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        let main = read("sickbay.1");
        for verb in super::super::command().get_subcommands() {
            let name = verb.get_name();
            assert!(
                main.contains(&format!("sickbay\\-{name}(1)")),
                "{name} is not in sickbay.1"
            );
            let page = read(&format!("sickbay-{name}.1"));
            assert!(page.contains(&format!("sickbay\\-{name}")), "{page}");
            for option in verb.get_arguments().filter_map(|argument| argument.get_long()) {
                let option = format!("\\-\\-{}", option.replace('-', "\\-"));
                assert!(page.contains(&option), "{name} has no {option}: {page}");
            }
        }
        for (status, meaning) in exit::TABLE {
            assert!(main.contains(&format!(".TP\n{status}\n{meaning}\n")), "{main}");
        }
        let mut printed = Vec::new();
        Man { directory: None }.run(&mut printed).unwrap();
        assert_eq!(String::from_utf8(printed).unwrap(), main);
    }
}
