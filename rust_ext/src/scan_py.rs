//! Segments for Python: the flusher, `footfall spool` and `footfall audit` read every segment through here.
use footfall_ingest::recovery::{self, Scan};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What a segment's bytes hold; see `recovery::Scan`.
#[pyclass(frozen, module = "rust_ext")]
pub struct SegmentScan {
    scan: Scan,
}

fn u32_bytes<'py>(py: Python<'py>, numbers: &[u32]) -> Bound<'py, PyBytes> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    PyBytes::new(py, &bytes)
}

#[pymethods]
impl SegmentScan {
    #[getter]
    fn segment_id(&self) -> Option<String> {
        self.scan.header.map(|header| header.id.to_string())
    }

    #[getter]
    fn shard(&self) -> u32 {
        self.scan.header.map_or(0, |header| header.key.shard)
    }

    #[getter]
    fn month(&self) -> u32 {
        self.scan.header.map_or(0, |header| header.key.month)
    }

    #[getter]
    fn retention_class(&self) -> u8 {
        self.scan.header.map_or(0, |header| header.key.retention_class)
    }

    #[getter]
    fn created_at_ms(&self) -> i64 {
        self.scan.header.map_or(0, |header| header.created_at_ms)
    }

    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.scan.header.map(|header| PyBytes::new(py, &header.encode()))
    }

    #[getter]
    fn header_error(&self) -> Option<String> {
        self.scan.header_error.map(|error| error.to_string())
    }

    #[getter]
    fn offsets<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        u32_bytes(py, &self.scan.offsets)
    }

    #[getter]
    fn lengths<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        u32_bytes(py, &self.scan.lengths)
    }

    #[getter]
    fn records(&self) -> usize {
        self.scan.offsets.len()
    }

    #[getter]
    fn lost_records(&self) -> u64 {
        self.scan.lost_records
    }

    #[getter]
    fn damaged_ranges(&self) -> Vec<(usize, usize)> {
        self.scan.damaged.iter().map(|range| (range.start, range.end)).collect()
    }

    #[getter]
    fn torn_tail_bytes(&self) -> usize {
        self.scan.torn_tail_bytes
    }
}

/// Read a segment back, whatever happened to it. The GIL is released.
#[pyfunction]
fn scan_segment(py: Python<'_>, segment: PyBuffer<u8>) -> PyResult<SegmentScan> {
    if !segment.is_c_contiguous() {
        return Err(pyo3::exceptions::PyBufferError::new_err("the buffer is not contiguous"));
    }
    // SAFETY: `segment` keeps the export alive for the whole call, it is contiguous, and callers pass bytes or a
    // read-only map of a file that only ever grows; nobody writes to it meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts(segment.buf_ptr().cast::<u8>(), segment.len_bytes()) };
    Ok(SegmentScan { scan: py.detach(|| recovery::scan(bytes)) })
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SegmentScan>()?;
    module.add_function(wrap_pyfunction!(scan_segment, module)?)
}
