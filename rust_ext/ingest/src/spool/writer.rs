//! The segment writer: appends groups to segment files and seals them. Runs on the writer thread; no clock, no thread and
//! no randomness of its own, so that tests drive it step by step over a pretended disk.
//!
//! **All or nothing.** A group is written as one write per segment it touches. If any write is short or fails, every
//! segment of the group is cut back to where it was (one that the group opened is removed) and the whole group fails. The
//! next group takes the same ordinals, so a failure leaves no gap.
//!
//! **Order under `Durability::Power`**, before a group is confirmed: create → write → fdatasync of each file → fsync
//! of the folder if a file was created. A failed fdatasync is never retried: the kernel may have dropped the pages. What was
//! confirmed before is on the disk; so the file is cut back to it, and sealed away. Sealing: rename → fsync of the folder.
//! Under `Durability::Process` nothing is synced: a folder sync protects nothing a killed process could lose, and on a
//! busy disk it would stall the answers behind it.
//!
//! **Sealing** is decided by rows and bytes before a write (a batch never exceeds its limits) and by age after it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::Files;
use super::group::Arena;
use super::inventory::Inventory;
use super::settings::{Durability, SpoolSettings};
use super::tally::Tally;
use crate::segment::{
    FrameCrc, HEADER_BYTES, OPEN_EXTENSION, SEALED_EXTENSION, SegmentHeader, SegmentId, SegmentKey, frames_that_fit,
    seal_frames,
};

/// Segments kept open; beyond it the oldest are sealed early. Bounds file descriptors and half-filled batches.
pub const OPEN_SEGMENTS_MAX: usize = 64;

/// How long until a seal that failed is tried again without traffic.
const SEAL_RETRY_MS: u64 = 1_000;

/// The time, given by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the epoch, for the header.
    pub wall_ms: i64,
    /// Monotonic, for ages.
    pub uptime_ms: u64,
}

struct OpenSegment<F> {
    file: F,
    path: PathBuf,
    key: SegmentKey,
    crc: FrameCrc,
    bytes: u64,
    rows: u32,
    opened_at_ms: u64,
    /// Takes no more records: sealed as soon as the group under way is settled.
    full: bool,
}

/// Where a segment stood before the group under way.
struct Touched {
    index: usize,
    bytes: u64,
    rows: u32,
    created: bool,
}

/// See the module.
pub struct SegmentWriter<F: Files> {
    files: F,
    folder: PathBuf,
    settings: SpoolSettings,
    next_id: Box<dyn FnMut() -> io::Result<SegmentId> + Send>,
    open: Vec<OpenSegment<F::File>>,
    inventory: Arc<Inventory>,
    tally: Arc<Tally>,
}

impl<F: Files> SegmentWriter<F> {
    /// Writes into `folder`, which exists and is this process's own.
    pub fn new(
        files: F,
        folder: PathBuf,
        settings: SpoolSettings,
        next_id: Box<dyn FnMut() -> io::Result<SegmentId> + Send>,
        inventory: Arc<Inventory>,
        tally: Arc<Tally>,
    ) -> SegmentWriter<F> {
        SegmentWriter { files, folder, settings, next_id, open: Vec::new(), inventory, tally }
    }

    /// Appends all records of a group, or none.
    ///
    /// # Errors
    /// When the disk refuses; the group is undone and later ones may succeed.
    pub fn write_group(&mut self, arenas: &mut [Arena], now: Now) -> io::Result<()> {
        let mut touched = Vec::with_capacity(arenas.len());
        let written = arenas
            .iter_mut()
            .try_for_each(|arena| self.append_arena(arena, now, &mut touched))
            .and_then(|()| self.sync_group(&touched));
        match &written {
            Ok(()) => self.tally.group_written(arenas),
            Err(error) => {
                self.tally.group_failed(error);
                self.roll_back(&touched);
            }
        }
        written
    }

    fn append_arena(&mut self, arena: &mut Arena, now: Now, touched: &mut Vec<Touched>) -> io::Result<()> {
        let mut rest = arena.bytes.as_mut_slice();
        while !rest.is_empty() {
            let index = self.segment_for(arena.key, now, touched)?;
            let Some(segment) = self.open.get_mut(index) else { break };
            let rows_left = self.settings.batch_max_rows.saturating_sub(segment.rows);
            let bytes_left = self.settings.batch_max_bytes.saturating_sub(segment.bytes);
            let (mut end, rows) = frames_that_fit(rest, rows_left, usize::try_from(bytes_left).unwrap_or(usize::MAX));
            if rows == 0 {
                if segment.rows > 0 {
                    segment.full = true;
                    continue;
                }
                // One record over the limits makes a segment of its own.
                (end, _) = frames_that_fit(rest, 1, usize::MAX);
            }
            let Some((frames, later)) = rest.split_at_mut_checked(end).filter(|_| end > 0) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an arena that is not made of frames"));
            };
            if !touched.iter().any(|earlier| earlier.index == index) {
                touched.push(Touched { index, bytes: segment.bytes, rows: segment.rows, created: false });
            }
            segment.rows = seal_frames(frames, segment.crc, segment.rows);
            write_whole(&mut self.files, &segment.file, frames, segment.bytes)?;
            segment.bytes += frames.len() as u64;
            self.inventory.grew(frames.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// The index of the segment that takes records of `key`; opened if there is none.
    fn segment_for(&mut self, key: SegmentKey, now: Now, touched: &mut Vec<Touched>) -> io::Result<usize> {
        if let Some(index) = self.open.iter().position(|segment| segment.key == key && !segment.full) {
            return Ok(index);
        }
        let id = (self.next_id)()?;
        let path = self.folder.join(format!("{id}.{OPEN_EXTENSION}"));
        let file = self.files.create(&path)?;
        self.inventory.opened(&path, now.wall_ms);
        let index = self.open.len();
        touched.push(Touched { index, bytes: 0, rows: 0, created: true });
        let crc = FrameCrc::new(id);
        let opened_at_ms = now.uptime_ms;
        self.open.push(OpenSegment { file, path, key, crc, bytes: 0, rows: 0, opened_at_ms, full: false });
        if let Some(segment) = self.open.last_mut() {
            let header = SegmentHeader { id, key, created_at_ms: now.wall_ms }.encode();
            write_whole(&mut self.files, &segment.file, &header, 0)?;
            segment.bytes = HEADER_BYTES as u64;
            self.inventory.grew(segment.bytes);
        }
        Ok(index)
    }

    /// Makes the group durable, if it has to be.
    fn sync_group(&mut self, touched: &[Touched]) -> io::Result<()> {
        if self.settings.durability == Durability::Process {
            return Ok(());
        }
        for touch in touched {
            if let Some(segment) = self.open.get_mut(touch.index)
                && let Err(error) = self.files.sync_data(&segment.file)
            {
                segment.full = true;
                self.tally.sync_failed();
                return Err(error);
            }
        }
        if touched.iter().any(|touch| touch.created) {
            self.files.sync_folder(&self.folder).inspect_err(|_| self.tally.sync_failed())?;
        }
        Ok(())
    }

    /// Puts every segment back to where it stood before the group.
    fn roll_back(&mut self, touched: &[Touched]) {
        for touch in touched.iter().filter(|touch| !touch.created) {
            let Some(segment) = self.open.get_mut(touch.index) else { continue };
            if self.files.truncate(&segment.file, touch.bytes).is_err() {
                // Records that were answered 503 may stay behind and be stored; nothing acknowledged is touched. A later
                // write over them could leave half a frame, so the segment takes no more.
                self.tally.truncate_failed();
                segment.full = true;
            }
            self.inventory.shrank(segment.bytes - touch.bytes);
            (segment.bytes, segment.rows) = (touch.bytes, touch.rows);
        }
        // Created ones stand behind all others: removing them from the end keeps the indices.
        for touch in touched.iter().filter(|touch| touch.created).rev() {
            let Some(segment) = self.open.pop() else { continue };
            debug_assert_eq!(touch.index, self.open.len());
            if self.files.unlink(&segment.path).is_err() {
                self.tally.truncate_failed();
                // It may hold records that were answered 503; an empty file at least counts nothing.
                let _ = self.files.truncate(&segment.file, 0);
            }
            self.inventory.shrank(segment.bytes);
            self.inventory.removed(&segment.path);
        }
    }

    /// After a group is settled, or when nothing came: seals what is full, old or over the number of open segments.
    pub fn seal_due(&mut self, now: Now) {
        let settings = self.settings;
        for segment in &mut self.open {
            segment.full |= segment.rows >= settings.batch_max_rows
                || segment.bytes >= settings.batch_max_bytes
                || now.uptime_ms.saturating_sub(segment.opened_at_ms) >= settings.batch_max_age_ms;
        }
        let open = self.open.iter().filter(|segment| !segment.full).count();
        // Segments stand in the order of their opening.
        let surplus = open.saturating_sub(OPEN_SEGMENTS_MAX);
        for segment in self.open.iter_mut().filter(|segment| !segment.full).take(surplus) {
            segment.full = true;
        }
        self.seal_full();
    }

    /// Seals every open segment.
    pub fn seal_all(&mut self) {
        for segment in &mut self.open {
            segment.full = true;
        }
        self.seal_full();
    }

    fn seal_full(&mut self) {
        let mut renamed = false;
        let (files, inventory, tally) = (&mut self.files, &self.inventory, &self.tally);
        self.open.retain(|segment| {
            if !segment.full {
                return true;
            }
            let sealed = segment.path.with_extension(SEALED_EXTENSION);
            if let Err(error) = files.rename(&segment.path, &sealed) {
                tally.seal_failed(&error);
                return true;
            }
            inventory.sealed(&segment.path, sealed, segment.bytes);
            tally.segment_sealed();
            renamed = true;
            false
        });
        // A lost rename costs nothing: after a power cut the file is found, and drained, under its old name.
        if renamed && self.settings.durability == Durability::Power && files.sync_folder(&self.folder).is_err() {
            self.tally.sync_failed();
        }
    }

    /// When `seal_due` must be called next, at the latest.
    #[must_use]
    pub fn next_seal_at_ms(&self, now: Now) -> Option<u64> {
        self.open
            .iter()
            .map(|segment| {
                if segment.full {
                    now.uptime_ms.saturating_add(SEAL_RETRY_MS)
                } else {
                    segment.opened_at_ms.saturating_add(self.settings.batch_max_age_ms)
                }
            })
            .min()
    }

    /// Takes new settings. Another durability seals what is open: its files were created under the other rules.
    pub fn set_settings(&mut self, settings: SpoolSettings) {
        if settings.durability != self.settings.durability {
            self.seal_all();
        }
        self.settings = settings;
    }

    /// Segments open now.
    #[must_use]
    pub fn open_segments(&self) -> usize {
        self.open.len()
    }
}

/// One write of all `bytes`; a short one is an error.
fn write_whole<F: Files>(files: &mut F, file: &F::File, bytes: &[u8], offset: u64) -> io::Result<()> {
    loop {
        match files.write_at(file, bytes, offset) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::StorageFull, "short write")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
