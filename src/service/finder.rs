//! From a target of the configuration to the processes that exist.

use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::config::Target;
use crate::sys::Pid;

use super::cgroups::{self, Cgroups};
use super::process::{self, Member};
use super::unit_files;

/// Finds the processes of one service, again and again.
#[derive(Debug)]
pub struct Finder {
    how: How,
    /// What the service manager calls the unit, where the configuration names an alias.
    real_name: Option<String>,
    /// The directory of the control group, where that is known.
    group: Option<PathBuf>,
}

#[derive(Debug)]
enum How {
    Unit(String),
    Cgroup(PathBuf),
    /// The process that had that id when it was first looked for; not one that gets it later.
    Pid(Pid, Option<Member>),
    PidFile(PathBuf),
    Exe(PathBuf),
    Command(Regex),
}

/// Why a service has no processes now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Absent {
    /// No hierarchy of control groups is mounted.
    #[error("no control groups are mounted here; name the service by pid, pid_file, exe or command")]
    NoCgroups,
    /// The unit does not run.
    #[error("unit {0} is not running; start it with 'systemctl start {0}'")]
    Unit(String),
    /// There is no such unit.
    #[error("there is no unit {unit}{}; 'systemctl list-unit-files --type=service' shows what there is", did_you_mean(.meant))]
    UnknownUnit {
        /// Its name.
        unit: String,
        /// A name that is nearly the same.
        meant: Option<String>,
    },
    /// There is no such control group, or nobody is in it.
    #[error("control group {} has no processes; look for it with 'systemd-cgls'", .0.display())]
    Cgroup(PathBuf),
    /// There is no such process.
    #[error("no such process {0}; look it up with 'pgrep' or 'ps'")]
    Pid(Pid),
    /// The pid file names no process.
    #[error("pid file {}: {reason}", .path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody runs that executable.
    #[error("nobody runs {}", .0.display())]
    Exe(PathBuf),
    /// No command line matches.
    #[error("no command line matches '{0}'")]
    Command(String),
}

impl Finder {
    /// A finder for that target.
    ///
    /// # Errors
    ///
    /// That of a pattern that is no regular expression.
    pub fn new(target: &Target) -> Result<Self, regex_lite::Error> {
        let how = match target {
            Target::Unit(unit) => How::Unit(unit_name(unit)),
            Target::Cgroup(path) => How::Cgroup(path.into()),
            Target::Pid(pid) => How::Pid(Pid(*pid), Member::read(Pid(*pid))),
            Target::PidFile(path) => How::PidFile(path.clone()),
            Target::Exe(path) => How::Exe(path.clone()),
            Target::Command(pattern) => How::Command(Regex::new(pattern)?),
        };
        Ok(Self {
            how,
            real_name: None,
            group: None,
        })
    }

    /// Looks where the control group is, if it is one that is looked for.
    pub fn locate(&mut self, cgroups: Option<&Cgroups>) {
        self.group = match (&self.how, cgroups) {
            (How::Cgroup(path), Some(cgroups)) => cgroups.directory(path),
            (How::Unit(unit), Some(cgroups)) => {
                let known = self.group.take().filter(|group| group.is_dir());
                known.or_else(|| cgroups.of_unit(unit)).or_else(|| {
                    self.real_name = unit_files::alias(unit);
                    cgroups.of_unit(self.real_name.as_deref()?)
                })
            }
            _ => None,
        };
    }

    /// The places whose change tells of this service's processes, as far as [`Finder::locate`] has found them.
    pub fn places(&self) -> Vec<PathBuf> {
        match (&self.how, &self.group) {
            (How::PidFile(path), _) => path.parent().map(Path::to_owned).into_iter().collect(),
            (_, Some(group)) => group
                .ancestors()
                .skip(1)
                .find(|above| above.is_dir())
                .map(Path::to_owned)
                .into_iter()
                .chain([cgroups::events(group)])
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a change of that path may concern this service.
    pub fn concerns(&self, path: &Path) -> bool {
        match &self.how {
            How::Unit(unit) => {
                let name = path.file_name().and_then(|name| name.to_str());
                let named = name.map(cgroups::unescaped).is_some_and(|name| {
                    name == unit || self.real_name.as_ref().is_some_and(|real| name == real)
                });
                named || cgroups::is_slice(path) || self.is_of_group(path)
            }
            How::Cgroup(_) => self.is_of_group(path),
            How::PidFile(file) => path == file,
            How::Pid(..) | How::Exe(_) | How::Command(_) => false,
        }
    }

    /// Whether every process has to be looked at to find those of this service, since nothing tells of them.
    pub fn searches(&self) -> bool {
        matches!(self.how, How::Exe(_) | How::Command(_))
    }

    /// Whether the service is named by a unit.
    pub fn unit(&self) -> Option<&str> {
        match &self.how {
            How::Unit(unit) => Some(unit),
            _ => None,
        }
    }

    /// The directory of the service's control group, where it is named by one that exists.
    pub fn group(&self) -> Option<&Path> {
        self.group.as_deref()
    }

    /// The processes of the service, as far as nobody else's child of ours is among them.
    pub fn members(&self, cgroups: Option<&Cgroups>) -> Result<Vec<Member>, Absent> {
        let pids = match &self.how {
            How::Unit(_) | How::Cgroup(_) if cgroups.is_none() => return Err(Absent::NoCgroups),
            How::Unit(_) | How::Cgroup(_) => {
                let group = self.group.as_deref().ok_or_else(|| self.absent())?;
                cgroups::processes(group).map_err(|_| self.absent())?
            }
            How::Pid(pid, first) => {
                let now = Member::read(*pid).filter(|now| first.as_ref() == Some(now));
                return now.map(|member| vec![member]).ok_or_else(|| self.absent());
            }
            How::PidFile(path) => vec![process::in_pid_file(path).map_err(|reason| Absent::PidFile {
                path: path.clone(),
                reason,
            })?],
            How::Exe(path) => {
                let resolved = path.canonicalize().unwrap_or_else(|_| path.clone());
                matching(|pid| process::executable(pid).is_some_and(|exe| exe == *path || exe == resolved))
            }
            How::Command(pattern) => {
                matching(|pid| process::command_line(pid).is_some_and(|line| pattern.is_match(&line)))
            }
        };
        let members: Vec<Member> = pids.into_iter().filter_map(Member::read).collect();
        if members.is_empty() {
            return Err(self.absent());
        }
        Ok(members)
    }

    fn is_of_group(&self, path: &Path) -> bool {
        self.group
            .as_ref()
            .is_some_and(|group| group.starts_with(path) || path == cgroups::events(group))
    }

    fn absent(&self) -> Absent {
        match &self.how {
            How::Unit(unit) if unit_files::is_undefined(unit) => Absent::UnknownUnit {
                unit: unit.clone(),
                meant: unit_files::nearly(unit),
            },
            How::Unit(unit) => Absent::Unit(unit.clone()),
            How::Cgroup(path) => Absent::Cgroup(path.clone()),
            How::Pid(pid, _) => Absent::Pid(*pid),
            How::PidFile(path) => Absent::PidFile {
                path: path.clone(),
                reason: "the process that it names does not exist".to_owned(),
            },
            How::Exe(path) => Absent::Exe(path.clone()),
            How::Command(pattern) => Absent::Command(pattern.as_str().to_owned()),
        }
    }
}

fn did_you_mean(name: &Option<String>) -> String {
    name.as_ref()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

fn matching(fits: impl Fn(Pid) -> bool) -> Vec<Pid> {
    process::all().into_iter().filter(|pid| fits(*pid)).collect()
}

/// A unit's full name: like systemctl(1), a name without a suffix is taken for a service's.
pub(super) fn unit_name(name: &str) -> String {
    const SUFFIXES: [&str; 4] = [".service", ".scope", ".slice", ".socket"];
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_systemctl_names_them() {
        assert_eq!(unit_name("api"), "api.service");
        assert_eq!(unit_name("my.app"), "my.app.service");
        assert_eq!(unit_name("session-1.scope"), "session-1.scope");
    }

    #[test]
    fn a_process_is_found_by_executable_and_by_command() {
        // A child of a child, since children of ours are taken for tracers.
        let script = "sleep 61.25 & echo $!; wait";
        let mut shell = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(shell.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        let pid = Pid(line.trim().parse().unwrap());
        let holds = |target: Target| {
            let found = Finder::new(&target).unwrap().members(None);
            found.is_ok_and(|members| members.iter().any(|member| member.pid == pid))
        };
        // The shell's child has the shell's name until it has executed sleep.
        while process::command_line(pid).is_none_or(|line| !line.starts_with("sleep")) {
            std::thread::yield_now();
        }
        assert!(holds(Target::Command(r"^sleep 61\.25$".into())));
        assert!(holds(Target::Exe(process::executable(pid).unwrap())));
        assert!(holds(Target::Pid(pid.0)));
        assert!(!holds(Target::Command("no such command line".into())));
        assert!(!holds(Target::Exe("/nonexistent".into())));
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid.0),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn whoever_gets_the_id_later_is_somebody_else() {
        let how = How::Pid(
            Pid(std::os::unix::process::parent_id() as i32),
            Some(Member {
                pid: Pid(1),
                start: crate::sys::StartTime(0),
            }),
        );
        assert!(matches!(
            Finder {
                how,
                real_name: None,
                group: None
            }
            .members(None),
            Err(Absent::Pid(_))
        ));
    }

    #[test]
    fn changes_concern_those_they_name() {
        let unit = Finder {
            how: How::Unit("api.service".into()),
            real_name: Some("real.service".into()),
            group: Some("/cg/system.slice/api.service".into()),
        };
        for (path, concerned) in [
            ("/cg/system.slice/api.service", true),
            ("/cg/system.slice/api.service/cgroup.events", true),
            ("/cg/other.slice/api.service", true),
            ("/cg/other.slice/_api.service", true),
            ("/cg/other.slice/real.service", true),
            ("/cg/new.slice", true),
            ("/cg/system.slice/web.service", false),
            ("/cg/system.slice/web.service/cgroup.events", false),
        ] {
            assert_eq!(unit.concerns(Path::new(path)), concerned, "{path}");
        }
    }
}
