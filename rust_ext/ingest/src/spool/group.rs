//! The group: the records of one loop tick, by segment key, on their way to the writer thread.

use crate::record::{self, HitRecord, ShortRecord};
use crate::segment::{SegmentKey, append_frame, month_of};

/// A spare buffer over this size is freed rather than kept: a rare burst must not be remembered for ever.
const SPARE_ARENA_MAX_BYTES: usize = 1024 * 1024;

/// Spare buffers kept. A group rarely has more keys than the current month's shards and classes.
const SPARE_ARENAS_MAX: usize = 16;

/// Unsealed frames for one segment.
#[derive(Debug)]
pub struct Arena {
    /// Where they go.
    pub key: SegmentKey,
    /// The frames, ordinals and CRCs still open (`segment::append_frame`).
    pub bytes: Vec<u8>,
    /// Their number.
    pub rows: u32,
}

/// The open group.
#[derive(Debug, Default)]
pub struct Group {
    arenas: Vec<Arena>,
    bytes: usize,
    rows: u32,
    /// The arena that took the last hit.
    latest: usize,
    spare: Vec<Vec<u8>>,
    /// The month of the last record and the times it spans, so that few records pay for the calendar.
    month: Month,
}

#[derive(Debug, Default, Clone, Copy)]
struct Month {
    day: i64,
    yyyymm: u32,
}

impl Month {
    fn of(&mut self, time_ms: i64) -> u32 {
        let day = time_ms.div_euclid(86_400_000);
        if self.yyyymm == 0 || self.day != day {
            *self = Month { day, yyyymm: month_of(time_ms) };
        }
        self.yyyymm
    }
}

impl Group {
    /// Appends an accepted hit.
    pub fn append_hit(&mut self, shard: u32, record: &HitRecord<'_>) {
        let month = self.month.of(record.time_ms);
        let key = SegmentKey { shard, month, retention_class: record.retention_class };
        self.append(key, |out| record::encode_hit(record, out));
    }

    /// Appends a dropped or rejected hit. It rides along in the segment of the latest hit of its month, so that drops
    /// do not make segments (and INSERTs) of their own; a group without such a hit uses shard 0 and class 0.
    pub fn append_short(&mut self, record: &ShortRecord) {
        let month = self.month.of(record.time_ms);
        let latest = self.arenas.get(self.latest).map(|arena| arena.key).filter(|key| key.month == month);
        let key = latest.unwrap_or(SegmentKey { shard: 0, month, retention_class: 0 });
        self.append(key, |out| record::encode_short(record, out));
    }

    fn append(&mut self, key: SegmentKey, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.arenas.get(self.latest).is_none_or(|arena| arena.key != key) {
            self.latest = self.arenas.iter().position(|arena| arena.key == key).unwrap_or_else(|| {
                let bytes = self.spare.pop().unwrap_or_default();
                self.arenas.push(Arena { key, bytes, rows: 0 });
                self.arenas.len() - 1
            });
        }
        let Some(arena) = self.arenas.get_mut(self.latest) else { return };
        let before = arena.bytes.len();
        append_frame(&mut arena.bytes, encode);
        self.bytes += arena.bytes.len() - before;
        arena.rows += 1;
        self.rows += 1;
    }

    /// Whether nothing was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes appended.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records appended.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Takes the arenas out; the group is empty again.
    pub fn take(&mut self) -> Vec<Arena> {
        (self.bytes, self.rows, self.latest) = (0, 0, 0);
        std::mem::take(&mut self.arenas)
    }

    /// Keeps the buffers of written arenas for coming groups.
    pub fn recycle(&mut self, arenas: Vec<Arena>) {
        for mut arena in arenas {
            if self.spare.len() < SPARE_ARENAS_MAX && arena.bytes.capacity() <= SPARE_ARENA_MAX_BYTES {
                arena.bytes.clear();
                self.spare.push(arena.bytes);
            }
        }
    }
}
