//! The only `#[pymodule]`: `rust_ext._ingest`. Bytes and buffers cross here, nothing else.
//! The checked stub is `rust_ext/_ingest.pyi`.
use pyo3::prelude::*;

#[pymodule]
fn _ingest(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
