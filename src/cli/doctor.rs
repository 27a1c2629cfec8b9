//! `sickbay doctor`: can processes be supervised here, and if not, what to do about it.
//!
//! `facts` collects and judges nothing, `permission` and `machine` judge and read nothing. It does not try ptrace
//! out: whether a request succeeds against one process says little about another, and the rules that
//! decide (capabilities, Yama, seccomp, who traces whom) are each looked at on their own.

mod facts;
mod machine;
mod permission;
mod verdict;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use facts::Facts;
pub use verdict::{Check, Verdict};

use super::state_dir::StateDir;

/// Check permissions and kernel features, and who traces whom
#[derive(Debug, clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    pub(super) state_dir: StateDir,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Prints every check with its verdict and, where there is one, the fix. The status is 1 if a check fails.
    ///
    /// # Errors
    ///
    /// [`NoStateDir`](crate::store::NoStateDir), and whatever writing to `out` meets; what cannot be found out is a check's verdict instead.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let state_dir = self.state_dir.resolve_reading()?;
        let checks = judge(&Facts::collect(Path::new("/proc"), &state_dir));
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &checks).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            for check in &checks {
                writeln!(out, "{check}")?;
            }
        }
        let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Every check, in the order in which they matter.
fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        permission::privilege(facts),
        permission::yama(facts),
        machine::kernel(&facts.kernel),
        permission::seccomp(facts),
        permission::no_new_privs(facts),
        permission::pid_namespace(facts),
        permission::hidepid(facts),
        machine::state_dir(facts),
        machine::open_files(facts),
        machine::cores(facts),
    ];
    checks.extend(permission::tracers(&facts.traced));
    checks
}

#[cfg(test)]
mod tests {
    use super::facts::samples::{healthy, release};
    use super::*;

    #[test]
    fn where_everything_works_nothing_is_to_be_done() {
        for check in judge(&healthy()) {
            assert_eq!((check.verdict, &check.fix), (Verdict::Ok, &None), "{check}");
        }
    }

    #[test]
    fn whatever_is_not_ok_has_a_fix() {
        let facts = Facts {
            own: Err("permission denied".into()),
            yama: Err("permission denied".into()),
            kernel: release("x"),
            first_pid_namespace: None,
            hidepid: Some("2".into()),
            file_limit: None,
            core_pattern: None,
            ..healthy()
        };
        for check in judge(&facts) {
            assert_eq!(check.verdict == Verdict::Ok, check.fix.is_none(), "{check}");
        }
    }
}
