//! What the writer thread did, in numbers; read by anyone for metrics and health.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::group::Arena;

/// Counters since the start of the process.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Tally {
    pub groups_written: AtomicU64,
    pub groups_failed: AtomicU64,
    /// Of the failed: for want of space.
    pub groups_failed_full: AtomicU64,
    pub records_written: AtomicU64,
    pub bytes_written: AtomicU64,
    pub segments_sealed: AtomicU64,
    pub segments_discarded: AtomicU64,
    pub sync_failures: AtomicU64,
    /// Failed groups whose bytes could not be cut off again: they may be stored without having been acknowledged.
    pub truncate_failures: AtomicU64,
    pub seal_failures: AtomicU64,
    /// 1 while the latest group failed.
    pub failing: AtomicU64,
    last_error: Mutex<Option<String>>,
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Tally {
    pub(super) fn group_written(&self, arenas: &[Arena]) {
        add(&self.groups_written, 1);
        add(&self.records_written, arenas.iter().map(|arena| u64::from(arena.rows)).sum());
        add(&self.bytes_written, arenas.iter().map(|arena| arena.bytes.len() as u64).sum());
        self.failing.store(0, Ordering::Relaxed);
    }

    pub(super) fn group_failed(&self, error: &io::Error) {
        add(&self.groups_failed, 1);
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            add(&self.groups_failed_full, 1);
        }
        self.failing.store(1, Ordering::Relaxed);
        self.remember(error);
    }

    pub(super) fn sync_failed(&self) {
        add(&self.sync_failures, 1);
    }

    pub(super) fn truncate_failed(&self) {
        add(&self.truncate_failures, 1);
    }

    pub(super) fn seal_failed(&self, error: &io::Error) {
        add(&self.seal_failures, 1);
        self.remember(error);
    }

    pub(super) fn segment_sealed(&self) {
        add(&self.segments_sealed, 1);
    }

    pub(super) fn segment_discarded(&self) {
        add(&self.segments_discarded, 1);
    }

    fn remember(&self, error: &io::Error) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// The latest error that was not reported yet.
    #[must_use]
    pub fn take_last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
