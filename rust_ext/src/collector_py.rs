//! The collector: one per process, used from the loop thread. Owns the pipeline, and through it the spool.
//!
//! Answers to hits wait here for their group. `commit` hands the open group to the writer thread once per turn of the
//! loop; `complete`, called when `completion_fd` is readable, releases what was settled: `Sockets.turn` does both. Python
//! code is only ever called while nothing of ours is borrowed, because it may call back.
use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use footfall_ingest::http::{HttpOptions, HttpSettings, PeerAddress};
use footfall_ingest::pipeline::{Pipeline, PipelineOptions};
use footfall_ingest::rules::Rules;
use footfall_ingest::snapshot::Snapshot;
use footfall_ingest::spool::{Durability, GroupId, SealedEnd, Spool, SpoolSettings};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Deserialize;

use crate::connection_py::Connection;
use crate::sockets_py::Sockets;

/// Who waits for a group.
pub enum Waiter {
    /// A connection with provisional answers.
    Connection(Py<Connection>),
    /// A server batch: called with whether its records are in the spool.
    Batch(Py<PyAny>),
}

/// What `Collector(settings=…)` takes, as JSON. Unknown keys are refused.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct CollectorOptions {
    http: HttpOptions,
    pipeline: PipelineOptions,
    batch: BatchOptions,
}

/// The batch settings, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BatchOptions {
    batch_max_rows: u32,
    batch_max_bytes: u64,
    batch_max_age_ms: u64,
    spool_max_bytes: u64,
    durability: String,
}

impl Default for BatchOptions {
    fn default() -> Self {
        let SpoolSettings { batch_max_rows, batch_max_bytes, batch_max_age_ms, spool_max_bytes, .. } =
            SpoolSettings::default();
        let durability = "process".to_owned();
        BatchOptions { batch_max_rows, batch_max_bytes, batch_max_age_ms, spool_max_bytes, durability }
    }
}

impl TryFrom<BatchOptions> for SpoolSettings {
    type Error = PyErr;

    fn try_from(options: BatchOptions) -> PyResult<SpoolSettings> {
        let durability = match options.durability.as_str() {
            "process" => Durability::Process,
            "power" => Durability::Power,
            other => return Err(invalid(format!("durability is {other:?}; allowed: \"process\", \"power\""))),
        };
        let BatchOptions { batch_max_rows, batch_max_bytes, batch_max_age_ms, spool_max_bytes, .. } = options;
        if batch_max_rows == 0 || batch_max_bytes == 0 {
            return Err(invalid("batch_max_rows and batch_max_bytes must be at least 1"));
        }
        Ok(SpoolSettings { batch_max_rows, batch_max_bytes, batch_max_age_ms, spool_max_bytes, durability })
    }
}

fn invalid(text: impl ToString) -> PyErr {
    PyValueError::new_err(text.to_string())
}

fn from_json<'de, T: Deserialize<'de>>(json: &'de [u8]) -> PyResult<T> {
    serde_json::from_slice(json).map_err(invalid)
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// See the module.
#[pyclass(module = "rust_ext")]
pub struct Collector {
    pub(crate) pipeline: Pipeline<Spool>,
    pub(crate) http: Arc<HttpSettings>,
    /// Who waits for which group, in the order of the groups.
    waiting: VecDeque<(GroupId, Vec<Waiter>)>,
    /// Kept lists of settled groups.
    spare: Vec<Vec<Waiter>>,
    settled: Vec<(GroupId, bool)>,
    snapshot_version: u64,
}

impl Collector {
    /// The open group, which `waiter` waits for from now on. True when it is the group's first: a commit is due.
    pub(crate) fn wait_for_open_group(&mut self, waiter: Waiter) -> bool {
        let group = self.pipeline.sink_mut().open_group();
        match self.waiting.back_mut() {
            Some((open, waiters)) if *open == group => {
                waiters.push(waiter);
                false
            }
            _ => {
                let mut waiters = self.spare.pop().unwrap_or_default();
                waiters.push(waiter);
                self.waiting.push_back((group, waiters));
                true
            }
        }
    }
}

#[pymethods]
impl Collector {
    #[new]
    #[pyo3(signature = (*, rules_path, spool_folder, settings = None))]
    fn new(rules_path: PathBuf, spool_folder: PathBuf, settings: Option<&[u8]>) -> PyResult<Collector> {
        let options: CollectorOptions = settings.map_or_else(|| Ok(CollectorOptions::default()), from_json)?;
        let http = HttpSettings::try_from(&options.http).map_err(invalid)?;
        let rules = Rules::open(&rules_path)
            .map_err(|error| PyOSError::new_err(format!("{}: {error}", rules_path.display())))?;
        let spool = Spool::start(&spool_folder, options.batch.try_into()?)
            .map_err(|error| PyOSError::new_err(format!("spool {}: {error}", spool_folder.display())))?;
        Ok(Collector {
            pipeline: Pipeline::new(spool, rules, random_seed()?, &options.pipeline),
            http: Arc::new(http),
            waiting: VecDeque::new(),
            spare: Vec::new(),
            settled: Vec::new(),
            snapshot_version: 0,
        })
    }

    /// Takes a snapshot; hits are answered 503 until the first one. Returns its version.
    fn apply_snapshot(&mut self, snapshot_json: &[u8]) -> PyResult<u64> {
        let snapshot = Snapshot::from_json(snapshot_json).map_err(invalid)?;
        self.snapshot_version = snapshot.version;
        self.pipeline.set_snapshot(Arc::new(snapshot));
        Ok(self.snapshot_version)
    }

    /// Takes batch settings, in force from the next group on.
    fn apply_batch_settings(&mut self, settings_json: &[u8]) -> PyResult<()> {
        let options: BatchOptions = from_json(settings_json)?;
        self.pipeline.sink_mut().set_settings(options.try_into()?);
        Ok(())
    }

    /// An eventfd, readable while `complete` has something to do.
    #[getter]
    fn completion_fd(&mut self) -> i32 {
        self.pipeline.sink_mut().completion_fd().as_raw_fd()
    }

    /// The public port's sockets. `accepted(connection)` is called with each new one and returns its `wake`, or `None` to
    /// drop it.
    fn sockets(slf: &Bound<'_, Self>, accepted: Py<PyAny>) -> PyResult<Sockets> {
        Sockets::new(slf, accepted)
    }

    /// A connection without a socket: the caller reads and writes.
    fn connection(
        slf: &Bound<'_, Self>,
        peer_host: &str,
        peer_port: u16,
        write: Py<PyAny>,
        wake: Py<PyAny>,
    ) -> PyResult<Connection> {
        let peer = PeerAddress::parse(peer_host, peer_port)
            .ok_or_else(|| invalid("a peer address that is neither IPv4 nor IPv6"))?;
        let http = Arc::clone(&slf.borrow().http);
        Ok(Connection::new(slf.clone().unbind(), http, peer, write, wake))
    }

    /// Hands the open group to the writer thread.
    pub(crate) fn commit(&mut self) {
        self.pipeline.sink_mut().commit();
    }

    /// Releases the answers of settled groups, and commits what came meanwhile. What a `write`, `wake` or `done` raises goes to
    /// `sys.unraisablehook`.
    pub(crate) fn complete(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut settled = {
            let mut collector = slf.borrow_mut();
            let mut settled = std::mem::take(&mut collector.settled);
            let sink = collector.pipeline.sink_mut();
            sink.take_done(&mut settled);
            sink.commit();
            settled
        };
        let now_ms = now_ms();
        for (group, is_written) in settled.drain(..) {
            let mut waiters = {
                let mut collector = slf.borrow_mut();
                match collector.waiting.front() {
                    Some((oldest, _)) if *oldest == group => collector.waiting.pop_front().map(|(_, waiters)| waiters),
                    _ => None,
                }
            }
            .unwrap_or_default();
            for waiter in waiters.drain(..) {
                // A transport that fails, or a callback, must not cost the others their answers.
                match waiter {
                    Waiter::Connection(connection) => {
                        if let Err(error) = Connection::release(connection.bind(py), group, is_written, now_ms) {
                            error.write_unraisable(py, Some(connection.bind(py).as_any()));
                        }
                    }
                    Waiter::Batch(callback) => {
                        if let Err(error) = callback.call1(py, (is_written,)) {
                            error.write_unraisable(py, Some(callback.bind(py)));
                        }
                    }
                }
            }
            slf.borrow_mut().spare.push(waiters);
        }
        slf.borrow_mut().settled = settled;
        Ok(())
    }

    /// Takes a server batch. Returns the outcome counts as JSON; `done(committed)` is called by `complete`, or not at all when
    /// nothing was logged (then `None` stands for the flag in the returned pair).
    fn ingest_batch<'py>(
        slf: &Bound<'py, Self>,
        body: &[u8],
        account_id: u32,
        default_address: &str,
        done: Py<PyAny>,
    ) -> PyResult<(Bound<'py, PyBytes>, bool, bool)> {
        let py = slf.py();
        let peer =
            PeerAddress::parse(default_address, 0).ok_or_else(|| invalid("default_address is not an address"))?;
        let mut collector = slf.borrow_mut();
        let report = collector.pipeline.batch(body, account_id, peer.ip, now_ms());
        let is_logged = report.is_logged();
        let is_first = is_logged && collector.wait_for_open_group(Waiter::Batch(done));
        Ok((PyBytes::new(py, &report.to_json()), is_logged, is_first))
    }

    /// Seals every open segment.
    fn seal_all(&mut self) {
        self.pipeline.sink_mut().seal_all();
    }

    /// The flusher's end, usable from any thread.
    fn sealed_segments(&mut self) -> SealedSegments {
        SealedSegments { end: self.pipeline.sink_mut().sealed_end() }
    }

    /// Whether a hit would be taken now: a snapshot with a salt is there, the writer thread runs, the spool has room.
    fn is_ready(&mut self) -> (bool, bool, bool) {
        use footfall_ingest::pipeline::RecordSink as _;
        let has_snapshot = self.pipeline.has_snapshot();
        let sink = self.pipeline.sink_mut();
        (has_snapshot, sink.is_alive(), sink.room())
    }

    /// Counters since the start, for metrics: `outcomes` by label, `groups…`, `spool…`, `agents…`.
    fn stats<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        let outcomes = PyDict::new(py);
        for (outcome, count) in self.pipeline.outcome_counts() {
            outcomes.set_item(outcome.label(), count)?;
        }
        stats.set_item("outcomes", outcomes)?;
        stats.set_item("unavailable", self.pipeline.unavailable_count())?;
        stats.set_item("snapshot_version", self.snapshot_version)?;
        let sink = self.pipeline.sink_mut();
        let (groups, bytes) = sink.in_flight();
        stats.set_item("groups_in_flight", groups)?;
        stats.set_item("bytes_in_flight", bytes)?;
        let end = sink.sealed_end();
        spool_stats(&end, &stats)?;
        Ok(stats)
    }

    /// Commits, seals, and ends the writer thread; `complete` still releases what it settled.
    fn close(&mut self, py: Python<'_>) {
        let sink = self.pipeline.sink_mut();
        py.detach(|| sink.close());
    }
}

fn spool_stats(end: &SealedEnd, stats: &Bound<'_, PyDict>) -> PyResult<()> {
    use std::sync::atomic::{AtomicU64, Ordering};
    let (open, sealed, oldest_ms) = end.inventory().census();
    stats.set_item("spool_bytes", end.inventory().bytes())?;
    stats.set_item("segments_open", open)?;
    stats.set_item("segments_waiting", sealed)?;
    stats.set_item("oldest_segment_ms", oldest_ms)?;
    let tally = end.tally();
    let counters: [(&str, &AtomicU64); 11] = [
        ("groups_written", &tally.groups_written),
        ("groups_failed", &tally.groups_failed),
        ("groups_failed_full", &tally.groups_failed_full),
        ("records_written", &tally.records_written),
        ("bytes_written", &tally.bytes_written),
        ("segments_sealed", &tally.segments_sealed),
        ("segments_discarded", &tally.segments_discarded),
        ("sync_failures", &tally.sync_failures),
        ("truncate_failures", &tally.truncate_failures),
        ("seal_failures", &tally.seal_failures),
        ("failing", &tally.failing),
    ];
    for (name, counter) in counters {
        stats.set_item(name, counter.load(Ordering::Relaxed))?;
    }
    stats.set_item("last_error", tally.take_last_error())
}

/// The hash seeds of this process: nobody outside may steer hits into one slot of a table.
pub fn random_seed() -> PyResult<[u64; 2]> {
    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut bytes)?;
    let (low, high) = bytes.split_at(8);
    let word = |part: &[u8]| part.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    Ok([word(low), word(high)])
}

/// The flusher's end of the spool. Any thread may use it; waiting releases the GIL.
#[pyclass(frozen, module = "rust_ext")]
pub struct SealedSegments {
    end: SealedEnd,
}

#[pymethods]
impl SealedSegments {
    /// The next sealed segment's path, or `None` after the timeout.
    fn next_sealed(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<String>> {
        let sealed = py.detach(|| self.end.next_sealed(Duration::from_millis(timeout_ms)));
        let text = sealed.map(|path| path.into_os_string().into_string()).transpose();
        text.map_err(|path| PyOSError::new_err(format!("{} is not UTF-8", path.display())))
    }

    /// The segment is stored or quarantined: removes the file if it is still there and gives its bytes back to the budget.
    fn discard(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.end.discard(&path))
            .map_err(|error| PyOSError::new_err(format!("{}: {error}", Path::new(&path).display())))
    }

    /// Removes the spool folder if nothing is left in it.
    fn remove_folder_if_empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(py.detach(|| self.end.folder().remove_if_empty())?)
    }
}
