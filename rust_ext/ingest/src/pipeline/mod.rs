//! hit → record (being built).
use crate::record::{HitRecord, ShortRecord};

/// Where records go. The spool implements it for the loop thread.
pub trait RecordSink {
    /// Whether one more hit (or one whole server batch) may be appended; false is answered 503.
    fn room(&self) -> bool;
    /// Appends an accepted hit to the open segment of its shard.
    fn append_hit(&mut self, shard: u32, record: &HitRecord<'_>);
    /// Appends a dropped or rejected hit.
    fn append_short(&mut self, record: &ShortRecord);
}
