//! The only `#[pymodule]`: `rust_ext._ingest`. Bytes and buffers cross here, nothing else.
//! The checked stub is `rust_ext/_ingest.pyi`.
mod agents_py;
mod scan_py;

use pyo3::prelude::*;

#[pymodule]
fn _ingest(module: &Bound<'_, PyModule>) -> PyResult<()> {
    agents_py::register(module)?;
    scan_py::register(module)
}
