//! How often the kernel has killed for memory in the control groups of a service.
//!
//! No stop announces that kill, and the exit status says only SIGKILL. The group counts it before the signal is sent
//! (`mm/oom_kill.c`, `__oom_kill_process`): in `memory.events` of the unified hierarchy, with the groups below it, or in
//! `memory.oom_control` of the older one. The counter tells of the group, not of the process, and goes with the group:
//! it is read before a killed process is reaped, as nobody removes the group earlier, and each count speaks for one
//! process that ended in the same while: the group may have others in it, which nobody watches. Unlike the kernel's log,
//! anybody may read it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::Pid;

use super::cgroups::Cgroups;

/// The most groups of one service that are remembered.
const MAX_GROUPS: usize = 64;
/// What both kinds of file call the counter.
const COUNTER: &str = "oom_kill ";

/// The counters of the groups that a service's processes are in.
#[derive(Debug, Default)]
pub struct MemoryGroups(Vec<Group>);

#[derive(Debug)]
struct Group {
    /// The file with the counter.
    file: PathBuf,
    /// What it said when it was looked at first or a while ago, and one more for each kill that was told of.
    told: u64,
    /// What it said when it was looked at last.
    seen: u64,
}

impl MemoryGroups {
    /// Remembers the group of a process that is taken up.
    pub fn note(&mut self, process: Pid) {
        let of = |cgroups: Option<Cgroups>| {
            let cgroups = cgroups?;
            cgroups.directory(&cgroups.of_process(process)?)
        };
        if let Some(unified) = of(Cgroups::mounted()) {
            self.note_file(unified.join("memory.events"));
        }
        if let Some(older) = of(Cgroups::of_memory()) {
            self.note_file(older.join("memory.oom_control"));
        }
    }

    fn note_file(&mut self, file: PathBuf) {
        let Some(told) = count(&file) else {
            return;
        };
        // A group that was removed and made again counts from zero.
        self.0.retain(|group| {
            group.file != file && group.file.exists() || group.file == file && group.told <= told
        });
        if self.0.len() < MAX_GROUPS && self.0.iter().all(|group| group.file != file) {
            self.0.push(Group {
                file,
                told,
                seen: told,
            });
        }
    }

    /// A while has passed: a kill that was counted before the last one began was another's.
    pub fn age(&mut self) {
        for group in &mut self.0 {
            group.told = group.told.max(group.seen);
            group.seen = count(&group.file).unwrap_or(group.seen);
        }
    }

    /// What says that a process that was just killed, and is not reaped, was killed for memory: a kill in its service's
    /// groups that no other process has accounted for.
    pub fn evidence(&mut self) -> Option<String> {
        self.0.iter_mut().find_map(|group| {
            let kills = count(&group.file)?;
            (kills > group.told).then(|| {
                group.told += 1;
                format!("oom_kill in {} rose to {kills}", group.file.display())
            })
        })
    }
}

fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(COUNTER))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files as Linux 6.1 writes them.
    fn events(kills: u64) -> String {
        format!("low 0\nhigh 0\nmax 214\noom 1\noom_kill {kills}\noom_group_kill 0\n")
    }

    #[test]
    fn each_kill_speaks_for_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("memory.events");
        fs::write(&file, events(3)).unwrap();
        let mut groups = MemoryGroups::default();
        groups.note_file(file.clone());
        groups.note_file(file.clone());
        assert_eq!(groups.evidence(), None, "what was before is another's");
        fs::write(&file, events(5)).unwrap();
        for _ in 0..2 {
            let told = groups.evidence().expect("a kill");
            assert!(told.ends_with("memory.events rose to 5"), "{told}");
        }
        assert_eq!(groups.evidence(), None);
        fs::remove_file(&file).unwrap();
        assert_eq!(groups.evidence(), None);
        fs::write(&file, events(0)).unwrap();
        groups.note_file(file.clone());
        fs::write(&file, events(1)).unwrap();
        assert!(
            groups.evidence().is_some(),
            "a group of the same name counts anew"
        );
    }

    #[test]
    fn a_kill_of_a_while_ago_was_another_s() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("memory.events");
        fs::write(&file, events(0)).unwrap();
        let mut groups = MemoryGroups::default();
        groups.note_file(file.clone());
        fs::write(&file, events(1)).unwrap();
        groups.age();
        let mut at_once = MemoryGroups(vec![Group {
            file: file.clone(),
            told: groups.0[0].told,
            seen: groups.0[0].seen,
        }]);
        assert!(at_once.evidence().is_some(), "it may be told of only now");
        groups.age();
        assert_eq!(groups.evidence(), None);
        fs::write(&file, events(2)).unwrap();
        assert!(groups.evidence().is_some());
    }

    #[test]
    fn the_older_file_has_the_same_counter() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("memory.oom_control");
        fs::write(&file, "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n").unwrap();
        assert_eq!(count(&file), Some(7));
        fs::write(&file, "nothing of the kind\n").unwrap();
        assert_eq!(count(&file), None);
    }
}
