#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic
)]
//! The writer over a pretended disk, against a naive model; the threaded spool over the real one.
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::drop_reason::Outcome;
use crate::recovery;
use crate::segment::{SegmentHeader, SegmentKey, append_frame};

/// What the pretended disk does next to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Short,
    Full,
    SyncFails,
    TruncateFails,
}

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<PathBuf, Vec<u8>>,
    log: Vec<String>,
    faults: Vec<Fault>,
    truncate_fails: bool,
}

#[derive(Clone, Default)]
struct FakeFiles(Arc<Mutex<Disk>>);

fn name(path: &Path) -> String {
    path.extension().unwrap().to_str().unwrap().to_owned()
}

impl Files for FakeFiles {
    type File = Mutex<PathBuf>;

    fn create(&mut self, path: &Path) -> io::Result<Self::File> {
        let mut disk = self.0.lock().unwrap();
        disk.log.push("create".into());
        assert!(disk.files.insert(path.to_path_buf(), Vec::new()).is_none());
        Ok(Mutex::new(path.to_path_buf()))
    }

    fn write_at(&mut self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let fault = if bytes.len() == crate::segment::HEADER_BYTES || disk.faults.is_empty() {
            Fault::None
        } else {
            disk.faults.remove(0)
        };
        let taken = match fault {
            Fault::Short | Fault::TruncateFails => bytes.len() / 2,
            Fault::Full => return Err(io::ErrorKind::StorageFull.into()),
            Fault::None | Fault::SyncFails => bytes.len(),
        };
        disk.truncate_fails = fault == Fault::TruncateFails;
        if fault == Fault::SyncFails {
            disk.faults.insert(0, Fault::SyncFails);
        }
        disk.log.push("write".into());
        let content = disk.files.get_mut(&*file.lock().unwrap()).unwrap();
        let start = offset as usize;
        content.resize(content.len().max(start + taken), 0);
        content[start..start + taken].copy_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn truncate(&mut self, file: &Self::File, bytes: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.log.push("truncate".into());
        if disk.truncate_fails {
            return Err(io::ErrorKind::Other.into());
        }
        disk.files.get_mut(&*file.lock().unwrap()).unwrap().truncate(bytes as usize);
        Ok(())
    }

    fn sync_data(&mut self, _: &Self::File) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.log.push("sync_data".into());
        if disk.faults.first() == Some(&Fault::SyncFails) {
            disk.faults.remove(0);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.log.push(format!("rename {}", name(to)));
        let content = disk.files.remove(from).unwrap();
        disk.files.insert(to.to_path_buf(), content);
        Ok(())
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.log.push("unlink".into());
        disk.files.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&mut self, _: &Path) -> io::Result<()> {
        self.0.lock().unwrap().log.push("sync_folder".into());
        Ok(())
    }
}

fn writer(disk: &FakeFiles, settings: SpoolSettings) -> (SegmentWriter<FakeFiles>, Arc<Inventory>) {
    let inventory = Arc::new(Inventory::default());
    let mut next = 0_u8;
    let ids = Box::new(move || {
        next += 1;
        Ok(SegmentId([next; ID_BYTES]))
    });
    let tally = Arc::new(Tally::default());
    (SegmentWriter::new(disk.clone(), "spool".into(), settings, ids, Arc::clone(&inventory), tally), inventory)
}

/// A group of short records, each told apart by its time.
pub(super) fn group(key: SegmentKey, times_ms: impl IntoIterator<Item = i64>) -> Arena {
    let mut arena = Arena { key, bytes: Vec::new(), rows: 0 };
    for time_ms in times_ms {
        let record = ShortRecord { outcome: Outcome::Bot, bot_reasons: 0, site_id: 1, time_ms };
        append_frame(&mut arena.bytes, |out| crate::record::encode_short(&record, out));
        arena.rows += 1;
    }
    arena
}

const KEY: SegmentKey = SegmentKey { shard: 0, month: 202_611, retention_class: 1 };
const OTHER_KEY: SegmentKey = SegmentKey { shard: 1, month: 202_611, retention_class: 1 };

fn at(uptime_ms: u64) -> Now {
    Now { wall_ms: 1_000, uptime_ms }
}

/// The times of the readable records of all files; panics on damage that is not a torn tail.
fn stored(disk: &FakeFiles) -> Vec<i64> {
    let disk = disk.0.lock().unwrap();
    let mut times = Vec::new();
    for content in disk.files.values() {
        let scan = recovery::scan(content);
        assert_eq!(scan.lost_records, 0);
        for offset in scan.offsets {
            let start = offset as usize + 8;
            times.push(i64::from_le_bytes(content[start..start + 8].try_into().unwrap()));
        }
    }
    times.sort_unstable();
    times
}

#[test]
fn power_syncs_data_then_the_folder_before_a_group_is_confirmed() {
    let disk = FakeFiles::default();
    let settings = SpoolSettings { durability: Durability::Power, ..SpoolSettings::default() };
    let (mut writer, _) = writer(&disk, settings);
    writer.write_group(&mut [group(KEY, [1])], at(0)).unwrap();
    assert_eq!(disk.0.lock().unwrap().log, ["create", "write", "write", "sync_data", "sync_folder"]);
    disk.0.lock().unwrap().log.clear();
    writer.write_group(&mut [group(KEY, [2])], at(1)).unwrap();
    writer.seal_all();
    assert_eq!(disk.0.lock().unwrap().log, ["write", "sync_data", "rename seg", "sync_folder"]);
}

#[test]
fn a_failed_sync_is_not_retried_and_ends_the_segment() {
    let disk = FakeFiles::default();
    let settings = SpoolSettings { durability: Durability::Power, ..SpoolSettings::default() };
    let (mut writer, inventory) = writer(&disk, settings);
    writer.write_group(&mut [group(KEY, [1])], at(0)).unwrap();
    disk.0.lock().unwrap().faults = vec![Fault::SyncFails];
    writer.write_group(&mut [group(KEY, [2])], at(1)).unwrap_err();
    writer.seal_due(at(1));
    assert_eq!(stored(&disk), [1]);
    assert!(inventory.next_sealed(Duration::ZERO).is_some());
    writer.write_group(&mut [group(KEY, [3])], at(2)).unwrap();
    assert_eq!(disk.0.lock().unwrap().files.len(), 2, "the next group opens a new segment");
}

#[test]
fn a_group_over_several_segments_fails_as_one() {
    let disk = FakeFiles::default();
    let (mut writer, inventory) = writer(&disk, SpoolSettings::default());
    writer.write_group(&mut [group(KEY, [1])], at(0)).unwrap();
    let before_bytes = inventory.bytes();
    disk.0.lock().unwrap().faults = vec![Fault::None, Fault::Full];
    writer.write_group(&mut [group(KEY, [2]), group(OTHER_KEY, [3])], at(1)).unwrap_err();
    assert_eq!((stored(&disk), inventory.bytes()), (vec![1], before_bytes));
    writer.write_group(&mut [group(KEY, [4]), group(OTHER_KEY, [5])], at(2)).unwrap();
    assert_eq!(stored(&disk), [1, 4, 5], "and leaves no gap in the ordinals");
}

#[test]
fn segments_are_sealed_by_rows_bytes_age_and_number() {
    let disk = FakeFiles::default();
    let settings = SpoolSettings { batch_max_rows: 3, batch_max_age_ms: 100, ..SpoolSettings::default() };
    let (mut writer, inventory) = writer(&disk, settings);
    writer.write_group(&mut [group(KEY, 0..7)], at(0)).unwrap();
    writer.seal_due(at(0));
    assert_eq!(inventory.census(), (1, 2, Some(1_000)), "seven rows are two batches of three and one row");
    assert_eq!(writer.next_seal_at_ms(at(50)), Some(100));
    writer.seal_due(at(100));
    assert_eq!(writer.open_segments(), 0);
    for shard in 0..(OPEN_SEGMENTS_MAX as u32 + 5) {
        writer.write_group(&mut [group(SegmentKey { shard, ..KEY }, [9])], at(100)).unwrap();
        writer.seal_due(at(100));
    }
    assert_eq!(writer.open_segments(), OPEN_SEGMENTS_MAX);
    let tiny = SpoolSettings { batch_max_bytes: 200, ..SpoolSettings::default() };
    writer.set_settings(tiny);
    writer.seal_all();
    writer.write_group(&mut [group(KEY, 0..10)], at(100)).unwrap();
    writer.seal_all();
    for content in disk.0.lock().unwrap().files.values() {
        assert!(content.len() <= 200, "{} bytes", content.len());
    }
}

#[test]
fn a_sealed_segment_says_whose_it_is() {
    let disk = FakeFiles::default();
    let (mut writer, _) = writer(&disk, SpoolSettings::default());
    writer.write_group(&mut [group(OTHER_KEY, [7])], at(0)).unwrap();
    writer.seal_all();
    let disk = disk.0.lock().unwrap();
    let (path, content) = disk.files.iter().next().unwrap();
    let header = SegmentHeader::decode(content).unwrap();
    assert_eq!((header.key, header.created_at_ms), (OTHER_KEY, 1_000));
    assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{}.seg", header.id));
}

proptest! {
    /// The naive model: a list that a confirmed group's records are pushed to. Whatever the disk does, what can be read
    /// back holds every confirmed record once, and at most the groups whose undoing failed besides.
    #[test]
    fn what_was_confirmed_is_stored_once(
        steps in proptest::collection::vec((0_u8..5, 1_usize..6, any::<bool>()), 1..40),
        max_rows in 1_u32..9,
    ) {
        let disk = FakeFiles::default();
        let settings = SpoolSettings { batch_max_rows: max_rows, ..SpoolSettings::default() };
        let (mut writer, inventory) = writer(&disk, settings);
        let (mut confirmed, mut time_ms) = (Vec::new(), 0_i64);
        let mut is_undone = true;
        for (step, (fault, rows, both)) in steps.into_iter().enumerate() {
            let fault = [Fault::None, Fault::None, Fault::Short, Fault::Full, Fault::TruncateFails][usize::from(fault)];
            disk.0.lock().unwrap().faults = vec![fault];
            is_undone &= fault != Fault::TruncateFails;
            let times: Vec<i64> = (time_ms..time_ms + rows as i64).collect();
            time_ms += rows as i64;
            let (ours, others) = times.split_at(if both { rows / 2 } else { rows });
            let mut arenas = vec![group(KEY, ours.iter().copied()), group(OTHER_KEY, others.iter().copied())];
            arenas.retain(|arena| arena.rows > 0);
            if writer.write_group(&mut arenas, at(step as u64)).is_ok() {
                confirmed.extend(times);
            }
            disk.0.lock().unwrap().truncate_fails = false;
            writer.seal_due(at(step as u64));
        }
        writer.seal_all();
        let found = stored(&disk);
        if is_undone {
            prop_assert_eq!(&found, &confirmed);
            let bytes: usize = disk.0.lock().unwrap().files.values().map(Vec::len).sum();
            prop_assert_eq!(inventory.bytes(), bytes as u64);
        }
        for time_ms in confirmed {
            prop_assert_eq!(found.iter().filter(|found| **found == time_ms).count(), 1);
        }
    }
}

fn scratch(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("footfall-{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn append(spool: &mut Spool, time_ms: i64) -> GroupId {
    spool.append_short(&ShortRecord { outcome: Outcome::Bot, bot_reasons: 0, site_id: 1, time_ms });
    spool.open_group()
}

fn settle(spool: &mut Spool, wanted: usize) -> Vec<(GroupId, bool)> {
    let (mut done, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(10));
    while done.len() < wanted && Instant::now() < deadline {
        spool.take_done(&mut done);
        std::thread::sleep(Duration::from_millis(1));
    }
    done
}

#[test]
fn a_group_travels_from_the_loop_to_the_flusher() {
    let folder = scratch("travels");
    let mut spool = Spool::start(&folder, SpoolSettings { batch_max_age_ms: 10, ..SpoolSettings::default() }).unwrap();
    let error = Spool::start(&folder, SpoolSettings::default()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    spool.commit(); // an empty group is not sent
    let first = append(&mut spool, 1);
    spool.commit();
    let second = append(&mut spool, 2);
    spool.commit();
    assert_eq!(settle(&mut spool, 2), [(first, true), (second, true)]);
    assert_eq!(spool.in_flight(), (0, 0));
    let end = spool.sealed_end();
    // The age limit seals without further traffic.
    let sealed = end.next_sealed(Duration::from_secs(10)).unwrap();
    assert_eq!(recovery::scan(&std::fs::read(&sealed).unwrap()).offsets.len(), 2);
    end.discard(&sealed).unwrap();
    assert!(!sealed.exists());
    assert_eq!(end.inventory().bytes(), 0);
    end.discard(&sealed).unwrap(); // once more is no harm
    spool.close();
    assert!(end.folder().remove_if_empty().unwrap());
}

#[test]
fn the_budget_refuses_and_recovers() {
    let folder = scratch("budget");
    let mut spool = Spool::start(&folder, SpoolSettings { spool_max_bytes: 150, ..SpoolSettings::default() }).unwrap();
    assert!(spool.room());
    append(&mut spool, 1);
    append(&mut spool, 2);
    append(&mut spool, 3);
    spool.commit();
    settle(&mut spool, 1);
    assert!(!spool.room(), "64 + 3 × 32 bytes are over 150");
    spool.seal_all();
    let end = spool.sealed_end();
    let sealed = end.next_sealed(Duration::from_secs(10)).unwrap();
    end.discard(&sealed).unwrap();
    assert!(spool.room());
    spool.close();
    assert!(end.folder().remove_if_empty().unwrap());
}

#[test]
fn a_closed_spool_fails_its_groups_instead_of_losing_them() {
    let folder = scratch("closed");
    let mut spool = Spool::start(&folder, SpoolSettings::default()).unwrap();
    spool.close();
    assert!(!spool.is_alive());
    let group = append(&mut spool, 1);
    spool.commit();
    assert_eq!(settle(&mut spool, 1), [(group, false)]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn closing_hands_over_what_was_gathered_behind_a_sync() {
    let folder = scratch("closing");
    let settings = SpoolSettings { durability: Durability::Power, ..SpoolSettings::default() };
    let mut spool = Spool::start(&folder, settings).unwrap();
    let first = append(&mut spool, 1);
    spool.commit();
    let second = append(&mut spool, 2);
    spool.commit(); // one sync at a time: the group stays open
    spool.close();
    assert_eq!(settle(&mut spool, 2), [(first, true), (second, true)]);
    let sealed = spool.sealed_end().next_sealed(Duration::ZERO).unwrap();
    assert_eq!(recovery::scan(&std::fs::read(&sealed).unwrap()).offsets.len(), 2);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A disk that brings the writer thread down.
struct BrokenFiles;

impl Files for BrokenFiles {
    type File = ();

    fn create(&mut self, _: &Path) -> io::Result<()> {
        panic!("expected by the test");
    }

    fn write_at(&mut self, (): &(), _: &[u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn truncate(&mut self, (): &(), _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self, (): &()) -> io::Result<()> {
        Ok(())
    }

    fn rename(&mut self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn unlink(&mut self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&mut self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_thread_that_dies_fails_its_groups_and_the_room() {
    let folder = scratch("dies");
    let mut spool = Spool::start_on(BrokenFiles, &folder, SpoolSettings::default()).unwrap();
    let first = append(&mut spool, 1);
    spool.commit();
    let second = append(&mut spool, 2);
    spool.commit();
    let mut readable = [rustix::event::PollFd::new(&spool.event, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut readable, Some(&patience)), Ok(1));
    assert_eq!(settle(&mut spool, 2), [(first, false), (second, false)]);
    assert_eq!(spool.in_flight(), (0, 0));
    assert!(!spool.room());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_folder_with_segments_of_an_earlier_process_is_refused() {
    let folder = scratch("earlier");
    let mut spool = Spool::start(&folder, SpoolSettings::default()).unwrap();
    append(&mut spool, 1);
    spool.close();
    drop(spool);
    let error = Spool::start(&folder, SpoolSettings::default()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    std::fs::remove_dir_all(&folder).unwrap();
}
