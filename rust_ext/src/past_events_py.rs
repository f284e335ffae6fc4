//! Past events: what an import brings goes through the rules of live hits, at its own times, into records in memory.
//!
//! The event is judged as if now were its time, so that no supplied time is too old. Whoever uses it gives a snapshot of its own,
//! whose salt is no live one.
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use footfall_ingest::pipeline::{Pipeline, PipelineOptions, RecordSink};
use footfall_ingest::record::{HitRecord, ShortRecord, encode_hit, encode_short};
use footfall_ingest::rules::Rules;
use footfall_ingest::snapshot::Snapshot;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The record of the event in hand.
#[derive(Default)]
struct Kept {
    shard: u32,
    payload: Vec<u8>,
}

impl RecordSink for Kept {
    fn room(&self) -> bool {
        true
    }

    fn append_hit(&mut self, shard: u32, record: &HitRecord<'_>) {
        self.shard = shard;
        self.payload.clear();
        encode_hit(record, &mut self.payload);
    }

    fn append_short(&mut self, record: &ShortRecord) {
        self.shard = 0;
        self.payload.clear();
        encode_short(record, &mut self.payload);
    }
}

/// See the module.
#[pyclass(module = "rust_ext")]
pub struct PastEvents {
    pipeline: Pipeline<Kept>,
}

#[pymethods]
impl PastEvents {
    #[new]
    fn new(rules_path: PathBuf) -> PyResult<PastEvents> {
        let rules = Rules::open(&rules_path)
            .map_err(|error| PyOSError::new_err(format!("{}: {error}", rules_path.display())))?;
        let seed = crate::collector_py::random_seed()?;
        Ok(PastEvents { pipeline: Pipeline::new(Kept::default(), rules, seed, &PipelineOptions::default()) })
    }

    /// Takes the snapshot to judge by.
    fn apply_snapshot(&mut self, snapshot_json: &[u8]) -> PyResult<()> {
        let snapshot = Snapshot::from_json(snapshot_json).map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.pipeline.set_snapshot(Arc::new(snapshot));
        Ok(())
    }

    /// Judges one event for one site: the shard and the payload of its record.
    fn judge<'py>(
        &mut self,
        py: Python<'py>,
        event: &[u8],
        time_ms: i64,
        account_id: u32,
    ) -> PyResult<(u32, Bound<'py, PyBytes>)> {
        self.pipeline.sink_mut().payload.clear();
        let report = self.pipeline.batch(event, account_id, IpAddr::V4(Ipv4Addr::UNSPECIFIED), time_ms);
        let kept = self.pipeline.sink_mut();
        if kept.payload.is_empty() {
            return Err(PyValueError::new_err(report.refused.unwrap_or("the event left no record")));
        }
        Ok((kept.shard, PyBytes::new(py, &kept.payload)))
    }
}

/// Adds this file's class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PastEvents>()
}
