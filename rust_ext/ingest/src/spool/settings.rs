//! What an operator may tune about the spool, while it runs.

/// What an answered hit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process: the record was handed to the kernel.
    Process,
    /// The loss of power: the record and its file's name are on the disk.
    Power,
}

/// The batch settings that the spool obeys; a change is in force from the next group on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolSettings {
    /// A segment is sealed at this many records.
    pub batch_max_rows: u32,
    /// A segment is sealed before it grows over this many bytes; a single longer record makes a segment of its own.
    pub batch_max_bytes: u64,
    /// A segment is sealed at this age, traffic or not.
    pub batch_max_age_ms: u64,
    /// With this many bytes in files and buffers, hits are answered 503. Checked before each hit, so one hit (or one
    /// server batch) may reach beyond it.
    pub spool_max_bytes: u64,
    /// When a group counts as written.
    pub durability: Durability,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        SpoolSettings {
            batch_max_rows: 100_000,
            batch_max_bytes: 24 * 1024 * 1024,
            batch_max_age_ms: 1_000,
            spool_max_bytes: 4 * 1024 * 1024 * 1024,
            durability: Durability::Process,
        }
    }
}
