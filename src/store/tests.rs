//! The store on a real file system.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::*;
use crate::config::{Retention, Span};
use crate::report::{Report, sample};
use crate::sys::Pid;

const PARTS: [&str; 3] = ["report.json", "report.txt", "memory.zst"];

struct Place {
    dir: TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(&dir.path().join("state")).unwrap();
        Self { dir, store }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn reopened(&self) -> Store {
        Store::open(&self.state()).unwrap()
    }

    fn write(&self, id: &Id) -> PendingReport {
        self.store.begin(id).unwrap().create_small(&small(id)).unwrap()
    }

    /// Everything in the directory of reports, dot names included.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.store.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn listed(&self) -> Vec<(String, bool)> {
        let listed = self.store.list().unwrap().map(|entry| match entry {
            Entry::Report { id, .. } => (id.to_string(), true),
            Entry::Damaged { name, .. } => (name, false),
        });
        listed.collect()
    }
}

fn id(second: i64, random: u16) -> Id {
    let time = jiff::Timestamp::from_second(1_795_413_372 + second).unwrap();
    Id::from_parts(time, "api", Pid(4711), random)
}

fn small(id: &Id) -> Report {
    Report {
        id: id.to_string(),
        ..sample::minimal()
    }
}

fn full(id: &Id) -> Report {
    Report {
        id: id.to_string(),
        ..sample::full()
    }
}

fn fill(parts: &[Part], report: &Report) {
    for part in parts {
        let content = match part.name() {
            "report.json" => serde_json::to_vec(report).unwrap(),
            name => name.as_bytes().to_vec(),
        };
        part.file().write_all(&content).unwrap();
    }
}

#[test]
fn the_small_record_is_visible_at_once_and_the_full_one_replaces_it() {
    let place = Place::new();
    let id = id(0, 1);
    let draft = place.store.begin(&id).unwrap();
    assert!(place.listed().is_empty(), "visible before it is written");
    let pending = draft.create_small(&small(&id)).unwrap();
    assert_eq!(place.listed(), [(id.to_string(), true)]);

    let parts = pending.open_parts(&PARTS).unwrap();
    fill(&parts, &full(&id));
    assert_eq!(
        place.store.load(&id).unwrap(),
        small(&id),
        "replaced before the commit"
    );
    pending.commit(parts).unwrap();
    assert_eq!(place.store.load(&id).unwrap(), full(&id));
    let mut files: Vec<_> = fs::read_dir(place.store.path_of(&id))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["memory.zst", "report.json", "report.txt"]);
    assert_eq!(place.names(), [id.to_string()]);
}

#[test]
fn only_the_owner_may_look() {
    let place = Place::new();
    let id = id(0, 1);
    let pending = place.write(&id);
    let parts = pending.open_parts(&PARTS).unwrap();
    fill(&parts, &full(&id));
    pending.commit(parts).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let report = place.store.path_of(&id);
    assert_eq!(mode(place.state()), 0o700);
    assert_eq!(mode(place.state().join("reports")), 0o700);
    assert_eq!(mode(report.clone()), 0o700);
    for name in PARTS {
        assert_eq!(mode(report.join(name)), 0o600, "{name}");
    }
}

#[test]
fn without_a_commit_the_small_record_stands() {
    let place = Place::new();
    let [dropped, abandoned, wrong, foreign] = [id(0, 1), id(1, 1), id(2, 1), id(3, 1)];
    {
        let pending = place.write(&dropped);
        fill(&pending.open_parts(&PARTS).unwrap(), &full(&dropped));
    }
    let pending = place.write(&abandoned);
    let parts = pending.open_parts(&PARTS).unwrap();
    pending.abandon(parts);

    let pending = place.write(&wrong);
    let parts = pending.open_parts(&PARTS).unwrap();
    parts[0].file().write_all(b"{\"schema\": \"sickbay.rep").unwrap();
    parts[1].file().write_all(b"text").unwrap();
    assert!(matches!(pending.commit(parts), Err(StoreError::Damaged { .. })));

    let pending = place.write(&foreign);
    let parts = pending.open_parts(&PARTS).unwrap();
    fill(&parts, &full(&dropped));
    assert!(matches!(pending.commit(parts), Err(StoreError::Damaged { .. })));

    for id in [&dropped, &abandoned, &wrong, &foreign] {
        assert_eq!(place.store.load(id).unwrap(), small(id));
        assert_eq!(fs::read_dir(place.store.path_of(id)).unwrap().count(), 1);
    }
    assert_eq!(place.names().len(), 4, "{:?}", place.names());
}

#[test]
fn the_small_record_is_replaced_where_the_full_one_is_given_up() {
    let place = Place::new();
    let id = id(0, 1);
    let pending = place.write(&id);
    let parts = pending.open_parts(&PARTS).unwrap();
    let mut replaced = small(&id);
    replaced.missing("report", "the recorder took too long");
    pending.replace_small(&replaced, parts).unwrap();
    assert_eq!(place.store.load(&id).unwrap(), replaced);
    assert_eq!(place.names().len(), 1, "{:?}", place.names());
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let place = Place::new();
    drop(place.store.begin(&id(0, 1)).unwrap());
    assert!(place.names().is_empty());
}

#[test]
fn parts_without_content_are_left_out() {
    let place = Place::new();
    let id = id(0, 1);
    let pending = place.write(&id);
    let parts = pending.open_parts(&PARTS).unwrap();
    fill(&parts[..1], &full(&id));
    pending.commit(parts).unwrap();
    assert_eq!(place.store.load(&id).unwrap(), full(&id));
    assert_eq!(fs::read_dir(place.store.path_of(&id)).unwrap().count(), 1);
    assert_eq!(place.names(), [id.to_string()]);
}

#[test]
fn parts_have_plain_names() {
    let place = Place::new();
    let pending = place.write(&id(0, 1));
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        ".hidden",
        "A",
        "a\0b",
        &"a".repeat(65),
    ] {
        assert!(
            matches!(pending.open_parts(&[name]), Err(StoreError::Name { .. })),
            "{name:?}"
        );
    }
}

#[test]
fn damaged_and_foreign_entries_do_not_break_the_list() {
    let place = Place::new();
    let good = id(9, 1);
    drop(place.write(&good));
    let make = |second| {
        let path = place.store.path_of(&id(second, 1));
        fs::create_dir(&path).unwrap();
        path
    };
    make(1);
    fs::write(make(2).join("report.json"), b"\xff{").unwrap();
    symlink(
        place.store.path_of(&good).join("report.json"),
        make(3).join("report.json"),
    )
    .unwrap();
    fs::File::create(make(4).join("report.json"))
        .unwrap()
        .set_len(MAX_REPORT_BYTES + 1)
        .unwrap();
    nix::unistd::mkfifo(&make(5).join("report.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(make(6).join("report.json")).unwrap();
    symlink(place.store.path_of(&good), place.store.path_of(&id(7, 1))).unwrap();
    fs::write(place.store.path_of(&id(8, 1)), "a file").unwrap();
    fs::write(place.store.path().join("README\n"), "").unwrap();
    fs::create_dir(place.store.path().join(".git")).unwrap();
    // Deeply nested JSON must not exhaust the stack.
    fs::write(make(0).join("report.json"), "[".repeat(1 << 20)).unwrap();

    let listed = place.listed();
    assert_eq!(listed[0], (good.to_string(), true));
    assert_eq!(listed.len(), 11, "{listed:#?}");
    assert!(listed[1..].iter().all(|(_, good)| !good), "{listed:#?}");
    assert_eq!(listed[10].0, "README\n");
    for second in 0..9 {
        assert!(place.store.load(&id(second, 1)).is_err(), "{second}");
    }
}

#[test]
fn reports_are_found_by_id_prefix_and_position() {
    let place = Place::new();
    let (old, new) = (id(0, 0xaaaa), id(60, 0xbbbb));
    drop(place.write(&old));
    drop(place.write(&new));
    let found = |spec: &str| place.store.find(spec).map_err(|error| error.to_string());
    assert_eq!(found(old.as_str()), Ok(old.clone()));
    assert_eq!(found("latest"), Ok(new.clone()));
    assert_eq!(found("-1"), Ok(new.clone()));
    assert_eq!(found("-2"), Ok(old.clone()));
    assert_eq!(found(&old.as_str()[..14]), Ok(old.clone()));
    let ambiguous = found("2026").unwrap_err();
    assert!(
        ambiguous.contains(old.as_str()) && ambiguous.contains(new.as_str()),
        "{ambiguous}"
    );
    for none in [
        "",
        "-0",
        "-3",
        "-",
        "--1",
        "-x",
        "x",
        "2027",
        "../",
        "-99999999999999999999",
    ] {
        assert!(
            matches!(place.store.find(none), Err(FindError::None { .. })),
            "{none:?}"
        );
    }
}

#[test]
fn reports_of_one_second_are_ordered_by_their_time() {
    let place = Place::new();
    let ids = [id(0, 0x9999), id(0, 0x0001), id(0, 0x5555)];
    for (index, id) in ids.iter().enumerate() {
        let mut report = small(id);
        report.time = jiff::Timestamp::from_millisecond(1_795_413_372_000 + index as i64).unwrap();
        place.store.begin(id).unwrap().create_small(&report).unwrap();
    }
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(place.store.ids().unwrap(), newest_first);
}

#[test]
fn an_id_is_written_once() {
    let place = Place::new();
    let id = id(0, 1);
    drop(place.write(&id));
    let second = place.store.begin(&id).unwrap().create_small(&full(&id));
    assert!(second.is_err());
    assert_eq!(place.store.load(&id).unwrap(), small(&id));
    assert_eq!(place.names(), [id.to_string()]);
}

#[test]
fn deleting_follows_no_link() {
    let place = Place::new();
    let id = id(0, 1);
    drop(place.write(&id));
    let precious = place.dir.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "content").unwrap();
    symlink(&precious, place.store.path_of(&id).join("link")).unwrap();
    symlink(precious.join("file"), place.store.path_of(&id).join("file")).unwrap();
    fs::create_dir_all(place.store.path_of(&id).join("a/b")).unwrap();
    place.store.delete(&id).unwrap();
    assert!(place.names().is_empty());
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "content");

    symlink(&precious, place.store.path_of(&id)).unwrap();
    place.store.delete(&id).unwrap();
    assert!(place.names().is_empty() && precious.join("file").exists());
    assert!(place.store.delete(&id).unwrap_err().is_not_found());
}

#[test]
fn what_a_killed_writer_left_is_removed_when_it_is_old() {
    let place = Place::new();
    let old = SystemTime::now() - STALE_AFTER - Duration::from_secs(1);
    let stale = [
        format!(".{}.new", id(0, 1)),
        format!(".{}.memory.zst.new", id(0, 1)),
        format!(".{}.deleted", id(0, 2)),
    ];
    let kept = [
        format!(".{}.new", id(0, 3)),
        ".keep.new".to_owned(),
        "..new".to_owned(),
    ];
    for name in stale.iter().chain(&kept) {
        let path = place.store.path().join(name);
        if name.contains("zst") {
            fs::write(&path, "").unwrap();
        } else {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("report.json"), "").unwrap();
        }
        if *name != kept[0] {
            fs::File::open(path).unwrap().set_modified(old).unwrap();
        }
    }
    let report = id(5, 5);
    drop(place.write(&report));
    fs::File::open(place.store.path_of(&report))
        .unwrap()
        .set_modified(old)
        .unwrap();
    place.reopened();
    let mut expected = kept.to_vec();
    expected.push(report.to_string());
    expected.sort();
    assert_eq!(place.names(), expected);
}

#[test]
fn unusable_places_are_refused_with_the_reason() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let refused = |state: PathBuf| Store::open(&state).unwrap_err().to_string();

    fs::write(path("file"), "").unwrap();
    assert!(
        refused(path("file")).contains("not a directory"),
        "{}",
        refused(path("file"))
    );
    assert!(
        refused(path("file/below")).contains("not a directory"),
        "{}",
        refused(path("file/below"))
    );

    fs::create_dir_all(path("linked")).unwrap();
    symlink(dir.path(), path("linked/reports")).unwrap();
    assert!(
        refused(path("linked")).contains("symbolic link"),
        "{}",
        refused(path("linked"))
    );
    assert!(Store::open_existing(&path("linked")).is_err());

    fs::create_dir_all(path("open/reports")).unwrap();
    fs::set_permissions(path("open/reports"), PermissionsExt::from_mode(0o777)).unwrap();
    assert!(
        refused(path("open")).contains("others may write"),
        "{}",
        refused(path("open"))
    );

    assert!(Store::open_existing(&path("missing")).unwrap().is_none());
    assert!(!path("missing").exists());
    assert_eq!(
        refused(PathBuf::from("/proc/sickbay")),
        "cannot create state directory /proc/sickbay: no such file or directory"
    );
}

#[test]
fn a_full_disk_is_named() {
    let error = StoreError::new("write report to", Path::new("/x"), nix::Error::ENOSPC);
    assert_eq!(
        error.to_string(),
        "cannot write report to /x: no space left on device; free space or use --state-dir"
    );
    assert!(error.is_full());
}

/// Readers run while a writer commits: each sees the small report or the full one with all its files, never a part.
#[test]
fn readers_see_whole_reports() {
    let place = Place::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let store = Store::open_existing(&place.state()).unwrap().unwrap();
            let mut reads = 0;
            while !done.load(Ordering::Acquire) {
                for entry in store.list().unwrap() {
                    let Entry::Report { id, .. } = entry else {
                        panic!("{entry:?}")
                    };
                    let report = match store.load(&id) {
                        Ok(report) => report,
                        Err(error) if error.is_not_found() => continue,
                        Err(error) => panic!("{error}"),
                    };
                    if report == full(&id) {
                        let missing = PARTS.iter().find(|name| store.open_file(&id, name).is_err());
                        assert!(
                            missing.is_none() || !store.path_of(&id).exists(),
                            "{missing:?} of {id}"
                        );
                    } else {
                        assert_eq!(report, small(&id));
                    }
                    reads += 1;
                }
            }
            reads
        });
        for round in 0..60 {
            let id = id(round, 1);
            let pending = place.write(&id);
            let parts = pending.open_parts(&PARTS).unwrap();
            fill(&parts, &full(&id));
            pending.commit(parts).unwrap();
            if round % 2 == 0 {
                place.store.delete(&id).unwrap();
            }
        }
        done.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn a_report_under_way_is_not_past_any_limit() {
    let place = Place::new();
    let id = id(0, 1);
    let limits = Retention {
        max_age: Span::millis(1),
        ..Retention::default()
    };
    let now = id.time() + jiff::SignedDuration::from_hours(1);
    let pending = place.write(&id);
    // Another process has another description of the directory.
    let store = place.reopened();
    assert_eq!(store.vacuum(&limits, now).unwrap(), []);
    let parts = pending.open_parts(&PARTS).unwrap();
    fill(&parts, &full(&id));
    pending.commit(parts).unwrap();
    drop(pending);
    let gone = store.vacuum(&limits, now).unwrap();
    assert_eq!((&gone[0].id, gone[0].reason), (&id, Reason::MaxAge));
    assert!(gone[0].bytes > 0);
    assert!(place.names().is_empty(), "{:?}", place.names());
}
