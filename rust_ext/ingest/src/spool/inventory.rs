//! Every file of the spool from its first byte until it is discarded: the queue of sealed ones for the flusher, the
//! bytes that count against the budget, and the age of the oldest. Shared by the loop, the writer thread and the
//! flusher; each call takes the lock for a map operation, never for I/O.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
struct Entries {
    files: HashMap<PathBuf, Entry>,
    sealed: VecDeque<PathBuf>,
    sealed_files: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u64,
    created_at_ms: i64,
}

/// The spool's files.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Bytes of all files; atomic because the loop reads it before each hit.
    bytes: AtomicU64,
    entries: Mutex<Entries>,
    sealed: Condvar,
}

impl Inventory {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A panic elsewhere leaves the maps whole: each operation below is a single step.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment was opened.
    pub fn opened(&self, path: &Path, created_at_ms: i64) {
        self.entries().files.insert(path.to_path_buf(), Entry { bytes: 0, created_at_ms });
    }

    /// Bytes were written to open segments.
    pub fn grew(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Written bytes were cut off again.
    pub fn shrank(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An open segment, whose bytes were given back by `shrank`, is gone.
    pub fn removed(&self, path: &Path) {
        self.entries().files.remove(path);
    }

    /// An open segment of `bytes` was sealed under a new name.
    pub fn sealed(&self, open: &Path, sealed: PathBuf, bytes: u64) {
        let mut entries = self.entries();
        let created_at_ms = entries.files.remove(open).map_or(0, |entry| entry.created_at_ms);
        entries.files.insert(sealed.clone(), Entry { bytes, created_at_ms });
        entries.sealed.push_back(sealed);
        entries.sealed_files += 1;
        self.sealed.notify_one();
    }

    /// The next sealed segment; waits up to `timeout` for one.
    pub fn next_sealed(&self, timeout: Duration) -> Option<PathBuf> {
        let entries = self.entries();
        let (mut entries, _) = self
            .sealed
            .wait_timeout_while(entries, timeout, |entries| entries.sealed.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        entries.sealed.pop_front()
    }

    /// A sealed segment left the spool: its bytes are free again. Also takes it off the queue if it still waits there.
    pub fn released(&self, path: &Path) {
        let mut entries = self.entries();
        if let Some(entry) = entries.files.remove(path) {
            self.bytes.fetch_sub(entry.bytes, Ordering::Relaxed);
            entries.sealed_files -= 1;
            entries.sealed.retain(|waiting| waiting != path);
        }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// (open, sealed) files, and when the oldest of them was created.
    #[must_use]
    pub fn census(&self) -> (u64, u64, Option<i64>) {
        let entries = self.entries();
        let open = (entries.files.len() as u64).saturating_sub(entries.sealed_files);
        (open, entries.sealed_files, entries.files.values().map(|entry| entry.created_at_ms).min())
    }
}
