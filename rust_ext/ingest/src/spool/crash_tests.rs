#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]
//! The writer over a disk that fails anywhere and dies at any operation, against a list of what was confirmed.
//!
//! The disk keeps what programs see and what is durable apart, for contents (`sync_data`) and for names (`sync_folder`).
//! From one operation on it is dead: everything fails and nothing changes, as for a killed process or at a power cut. Then:
//!
//! * After a kill, what programs saw is there.
//! * After a power cut, each file has its durable content, or what programs saw, or the longer length filled with zeros;
//!   the folder has its durable names or the latest ones.
//!
//! Either way every confirmed record must be found once by a scan, and no record twice.
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::tests::group;
use super::*;
use crate::recovery;
use crate::segment::SegmentKey;

#[derive(Debug, Default, Clone)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
}

/// What an operation does; drawn in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    /// Of a write: half of it. Of all else: fails.
    HalfDone,
    Fails,
}

#[derive(Debug, Default)]
struct Disk {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Fates of the coming operations, last first; afterwards all work.
    fates: Vec<Fate>,
    operations_left: usize,
    /// An operation that undoes a failed group has failed.
    undo_failed: bool,
}

impl Disk {
    fn fate(&mut self) -> io::Result<Fate> {
        self.operations_left = self.operations_left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        match self.fates.pop().unwrap_or(Fate::Works) {
            Fate::Fails => Err(io::Error::from_raw_os_error(5)), // EIO
            fate => Ok(fate),
        }
    }

    fn whole(&mut self) -> io::Result<()> {
        match self.fate()? {
            Fate::Works => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[derive(Clone)]
struct FailingFiles(Arc<Mutex<Disk>>);

impl Files for FailingFiles {
    type File = usize;

    fn create(&mut self, path: &Path) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        disk.whole()?;
        let file = disk.contents.len();
        disk.contents.push(Content::default());
        assert!(disk.names.insert(path.to_path_buf(), file).is_none());
        Ok(file)
    }

    fn write_at(&mut self, file: &usize, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let taken = if disk.fate()? == Fate::HalfDone { bytes.len() / 2 } else { bytes.len() };
        let (seen, start) = (&mut disk.contents[*file].seen, offset as usize);
        assert!(start <= seen.len(), "a hole");
        seen.resize(seen.len().max(start + taken), 0);
        seen[start..start + taken].copy_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn truncate(&mut self, file: &usize, bytes: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let worked = disk.whole();
        disk.undo_failed |= worked.is_err();
        worked?;
        disk.contents[*file].seen.truncate(bytes as usize);
        Ok(())
    }

    fn sync_data(&mut self, file: &usize) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.whole()?;
        let content = &mut disk.contents[*file];
        content.durable.clone_from(&content.seen);
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.whole()?;
        let file = disk.names.remove(from).unwrap();
        disk.names.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let worked = disk.whole();
        disk.undo_failed |= worked.is_err();
        worked?;
        disk.names.remove(path).unwrap();
        Ok(())
    }

    fn sync_folder(&mut self, _: &Path) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.whole()?;
        disk.durable_names = disk.names.clone();
        Ok(())
    }
}

/// What a file holds after the power cut.
fn survivor(content: &Content, chance: u8) -> Vec<u8> {
    match chance % 3 {
        0 => content.durable.clone(),
        1 => content.seen.clone(),
        _ => {
            let mut zeros_behind = content.durable.clone();
            zeros_behind.resize(content.durable.len().max(content.seen.len()), 0);
            zeros_behind
        }
    }
}

/// The times of all records that scans of `files` find.
fn found(files: impl Iterator<Item = Vec<u8>>) -> Vec<i64> {
    let mut times = Vec::new();
    for content in files {
        for offset in recovery::scan(&content).offsets {
            let start = offset as usize + 8;
            times.push(i64::from_le_bytes(content[start..start + 8].try_into().unwrap()));
        }
    }
    times.sort_unstable();
    times
}

/// One group: rows for the first and the second segment key, and whether time passes the age limit behind it.
type Step = (u8, u8, bool);

struct Outcome {
    disk: Disk,
    confirmed: BTreeSet<i64>,
    /// Records of the group that the disk died in, if it did.
    dying: BTreeSet<i64>,
}

fn run(steps: &[Step], settings: SpoolSettings, fates: Vec<Fate>, operations: usize) -> Outcome {
    let disk = Arc::new(Mutex::new(Disk { fates, operations_left: operations, ..Disk::default() }));
    let mut next = 0_u8;
    let ids = Box::new(move || {
        next += 1;
        Ok(SegmentId([next; ID_BYTES]))
    });
    let files = FailingFiles(Arc::clone(&disk));
    let (inventory, tally) = (Arc::new(Inventory::default()), Arc::new(Tally::default()));
    let mut writer = SegmentWriter::new(files, "spool".into(), settings, ids, inventory, tally);
    let (mut confirmed, mut dying) = (BTreeSet::new(), BTreeSet::new());
    let (mut time_ms, mut uptime_ms) = (0, 0);
    for (first, second, is_slow) in steps {
        let mut arenas = Vec::new();
        let from_ms = time_ms;
        for (shard, rows) in [(0, *first), (1, *second)] {
            let key = SegmentKey { shard, month: 197_001, retention_class: 1 };
            arenas.push(group(key, time_ms..time_ms + i64::from(rows)));
            time_ms += i64::from(rows);
        }
        arenas.retain(|arena| arena.rows > 0);
        let now = Now { wall_ms: 5, uptime_ms };
        let is_alive = disk.lock().unwrap().operations_left > 0;
        if writer.write_group(&mut arenas, now).is_ok() {
            confirmed.extend(from_ms..time_ms);
        } else if is_alive {
            dying = (from_ms..time_ms).collect();
        }
        uptime_ms += if *is_slow { settings.batch_max_age_ms } else { 1 };
        writer.seal_due(Now { wall_ms: 5, uptime_ms });
    }
    drop(writer);
    let disk = Arc::into_inner(disk).unwrap().into_inner().unwrap();
    if disk.operations_left > 0 {
        dying.clear();
    }
    Outcome { disk, confirmed, dying }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![8 => Just(Fate::Works), 1 => Just(Fate::HalfDone), 1 => Just(Fate::Fails)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0_u8..4, 0_u8..4, prop::bool::weighted(0.2)), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_power_cut_costs_nothing_that_was_confirmed(
        steps in steps(),
        fates in prop::collection::vec(fate(), 0..80),
        operations in 0_usize..120,
        max_rows in 1_u32..9,
        chances in prop::collection::vec(any::<u8>(), 40),
        has_latest_names in any::<bool>(),
    ) {
        let settings =
            SpoolSettings { batch_max_rows: max_rows, durability: Durability::Power, ..SpoolSettings::default() };
        let Outcome { disk, confirmed, .. } = run(&steps, settings, fates, operations);
        let names = if has_latest_names { &disk.names } else { &disk.durable_names };
        let chance = |file: usize| chances[file % chances.len()];
        let found = found(names.values().map(|file| survivor(&disk.contents[*file], chance(*file))));
        let distinct: BTreeSet<i64> = found.iter().copied().collect();
        prop_assert_eq!(distinct.len(), found.len(), "a record twice");
        prop_assert!(confirmed.is_subset(&distinct), "lost: {:?}", confirmed.difference(&distinct));
    }

    #[test]
    fn a_kill_costs_nothing_that_was_confirmed_and_leaves_nothing_that_was_refused(
        steps in steps(),
        fates in prop::collection::vec(fate(), 0..80),
        operations in 0_usize..120,
        max_rows in 1_u32..9,
    ) {
        let settings = SpoolSettings { batch_max_rows: max_rows, ..SpoolSettings::default() };
        let Outcome { disk, confirmed, dying } = run(&steps, settings, fates, operations);
        let found = found(disk.names.values().map(|file| disk.contents[*file].seen.clone()));
        let distinct: BTreeSet<i64> = found.iter().copied().collect();
        prop_assert_eq!(distinct.len(), found.len(), "a record twice");
        prop_assert!(confirmed.is_subset(&distinct), "lost: {:?}", confirmed.difference(&distinct));
        let surplus: Vec<_> = distinct.difference(&confirmed).filter(|time| !dying.contains(time)).collect();
        // The group under way had no answer yet, and a failed undo is counted; nothing else may be left.
        prop_assert!(surplus.is_empty() || disk.undo_failed, "refused, but stored: {surplus:?}");
    }
}
