//! The control groups of this machine (cgroups(7)): where a unit's is, and who is in it.
//!
//! systemd gives each unit a group of the unit's name, below the groups of its slices. The unified hierarchy is used,
//! also where it is mounted beside older ones; without it, systemd's own hierarchy, which has no notices.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use crate::sys::Pid;

/// The processes of a group.
const PROCESSES: &str = "cgroup.procs";
/// The file that changes when a group gets its first process or loses its last.
const EVENTS: &str = "cgroup.events";
/// At most so many groups are looked at for one service, and so many slices for all units.
const MAX_GROUPS: usize = 4096;
/// At most so many processes are taken from one service's groups.
const MAX_PROCESSES: usize = 65_536;

/// A mounted hierarchy of control groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cgroups {
    root: PathBuf,
    /// What precedes the path in `/proc/PID/cgroup`.
    line: &'static str,
}

impl Cgroups {
    /// The hierarchy that this machine's units are in; none if there is none.
    pub fn mounted() -> Option<Self> {
        Self::in_mounts(&fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    /// The older hierarchy in which memory is counted, if it is mounted.
    pub fn of_memory() -> Option<Self> {
        Self::memory_in_mounts(&fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    fn memory_in_mounts(mountinfo: &str) -> Option<Self> {
        Self::find(mountinfo, "cgroup", "memory", ":memory:")
    }

    fn in_mounts(mountinfo: &str) -> Option<Self> {
        let anything = |kind, line| {
            ["rw", "ro"]
                .iter()
                .find_map(|option| Self::find(mountinfo, kind, option, line))
        };
        anything("cgroup2", "0::")
            .or_else(|| Self::find(mountinfo, "cgroup", "name=systemd", ":name=systemd:"))
    }

    /// The hierarchy of that kind whose file system has that option.
    fn find(mountinfo: &str, kind: &str, option: &str, line: &'static str) -> Option<Self> {
        let root = mountinfo.lines().find_map(|mount| {
            let (place, how) = mount.split_once(" - ")?;
            let mut how = how.split(' ');
            let fits = how.next() == Some(kind) && how.nth(1)?.split(',').any(|one| one == option);
            fits.then(|| place.split(' ').nth(4)).flatten()
        })?;
        Some(Self {
            root: root.into(),
            line,
        })
    }

    /// The directory of a group, given by its path from the root of the hierarchy. A path that leaves the
    /// hierarchy is none.
    pub fn directory(&self, path: &Path) -> Option<PathBuf> {
        let inside = path
            .components()
            .filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
        let mut directory = self.root.clone();
        for part in inside {
            match part {
                Component::Normal(name) => directory.push(name),
                _ => return None,
            }
        }
        Some(directory)
    }

    /// The directory of a unit's group, if it has one now.
    pub fn of_unit(&self, unit: &str) -> Option<PathBuf> {
        let names = group_names(unit);
        let in_slice = |slice: &Path| {
            let mut places = names.iter().map(|name| slice.join(name));
            places.find(|directory| directory.is_dir())
        };
        in_slice(&self.root.join("system.slice"))
            .or_else(|| self.slices().iter().find_map(|slice| in_slice(slice)))
    }

    /// The directories in which units' groups are: the root and every slice.
    pub fn slices(&self) -> Vec<PathBuf> {
        let mut slices = vec![self.root.clone()];
        let mut next = 0;
        while let Some(slice) = slices.get(next).filter(|_| slices.len() < MAX_GROUPS) {
            let below = groups_in(slice);
            slices.extend(below.into_iter().filter(|group| is_slice(group)));
            next += 1;
        }
        slices
    }

    /// The group of a process, by its path from the root of the hierarchy.
    pub fn of_process(&self, pid: Pid) -> Option<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = text
            .lines()
            .find_map(|line| Some(line.split_once(self.line)?.1))?;
        Some(path.into())
    }
}

/// What the group of a unit may be called: as the unit, or escaped. systemd puts a `_` before what would be taken for a
/// file of the kernel, such as `memory.service`.
pub(super) fn group_names(unit: &str) -> [String; 2] {
    [unit.to_owned(), format!("_{unit}")]
}

/// The unit that a group of that name belongs to.
pub(super) fn unescaped(group: &str) -> &str {
    group.strip_prefix('_').unwrap_or(group)
}

/// The file whose change tells that the group in that directory got its first process or lost its last.
pub fn events(directory: &Path) -> PathBuf {
    directory.join(EVENTS)
}

/// The processes of the group in that directory, and of the groups below it.
///
/// # Errors
///
/// The kernel's, about the group itself; a group below that vanishes meanwhile is left out.
pub fn processes(directory: &Path) -> io::Result<Vec<Pid>> {
    let mut found = processes_of(directory)?;
    let mut groups = groups_in(directory);
    let mut looked_at = 0;
    while let Some(group) = groups.pop().filter(|_| looked_at < MAX_GROUPS) {
        looked_at += 1;
        found.extend(processes_of(&group).unwrap_or_default());
        groups.extend(groups_in(&group));
    }
    found.truncate(MAX_PROCESSES);
    Ok(found)
}

fn processes_of(directory: &Path) -> io::Result<Vec<Pid>> {
    let text = match fs::read_to_string(directory.join(PROCESSES)) {
        // A threaded group: its processes are listed in the group above it (cgroups(7)).
        Err(error) if error.kind() == ErrorKind::Unsupported => String::new(),
        text => text?,
    };
    let ids = text.lines().filter_map(|line| line.parse().ok());
    // Processes outside of our pid namespace are listed as 0.
    Ok(ids.filter(|id| *id > 0).map(Pid).collect())
}

fn groups_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Whether a group is that of a slice, which holds the groups of units.
pub(super) fn is_slice(group: &Path) -> bool {
    group.extension().is_some_and(|extension| extension == "slice")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
28 20 0:25 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
29 28 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
30 28 0:27 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd
31 28 0:28 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
";

    fn tree(groups: &[(&str, &str)]) -> (tempfile::TempDir, Cgroups) {
        let root = tempfile::tempdir().unwrap();
        for (group, processes) in groups {
            fs::create_dir_all(root.path().join(group)).unwrap();
            fs::write(root.path().join(group).join(PROCESSES), processes).unwrap();
        }
        let cgroups = Cgroups {
            root: root.path().to_owned(),
            line: "0::",
        };
        (root, cgroups)
    }

    #[test]
    fn the_unified_hierarchy_is_preferred() {
        let root = |text: &str| Cgroups::in_mounts(text).map(|found| found.root);
        assert_eq!(root(HYBRID), Some("/sys/fs/cgroup/unified".into()));
        let old: String = HYBRID
            .lines()
            .filter(|line| !line.contains("cgroup2"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(root(&old), Some("/sys/fs/cgroup/systemd".into()));
        assert_eq!(root(""), None);
        let memory = Cgroups::memory_in_mounts(HYBRID).map(|found| found.root);
        assert_eq!(memory, Some("/sys/fs/cgroup/memory".into()));
    }

    #[test]
    fn a_unit_is_found_in_any_slice_and_nowhere_else() {
        let (root, cgroups) = tree(&[
            ("system.slice/api.service", "1\n"),
            ("system.slice/system-db.slice/db@1.service/worker", "2\n"),
            ("docker/hidden.service", "3\n"),
            ("system.slice/_memory.service", "4\n"),
        ]);
        let unit = |name: &str| cgroups.of_unit(name);
        assert_eq!(
            unit("api.service"),
            Some(root.path().join("system.slice/api.service"))
        );
        assert_eq!(
            unit("db@1.service"),
            Some(root.path().join("system.slice/system-db.slice/db@1.service"))
        );
        assert_eq!(
            unit("memory.service"),
            Some(root.path().join("system.slice/_memory.service"))
        );
        assert_eq!((unit("hidden.service"), unit("none.service")), (None, None));
    }

    #[test]
    fn processes_of_groups_below_count_and_foreign_ones_do_not() {
        let (root, _) = tree(&[
            ("a", "12\n0\n"),
            ("a/b", "13\n"),
            ("a/b/c", "14\n15\n"),
            ("d", "16\n"),
        ]);
        let mut found = processes(&root.path().join("a")).unwrap();
        found.sort_unstable();
        assert_eq!(found, [12, 13, 14, 15].map(Pid));
        assert!(processes(&root.path().join("e")).is_err());
    }

    #[test]
    fn a_path_never_leaves_the_hierarchy() {
        let (root, cgroups) = tree(&[]);
        assert_eq!(
            cgroups.directory(Path::new("/a/b")),
            Some(root.path().join("a/b"))
        );
        assert_eq!(cgroups.directory(Path::new("/a/../../etc")), None);
    }

    #[test]
    fn this_process_is_in_a_group() {
        let cgroups = Cgroups::mounted().expect("a hierarchy is mounted");
        let own = cgroups.of_process(Pid(std::process::id() as i32));
        assert!(own.is_some_and(|path| path.starts_with("/")));
    }
}
