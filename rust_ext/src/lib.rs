//! The only `#[pymodule]`: `rust_ext._ingest`. Bytes and buffers cross here, nothing else.
//! The checked stub is `rust_ext/_ingest.pyi`.
mod agents_py;
mod collector_py;
mod connection_py;
mod scan_py;

use footfall_ingest::drop_reason::Outcome;
use pyo3::prelude::*;

/// The outcomes as (code, label), in code order.
#[pyfunction]
fn outcomes() -> Vec<(u8, &'static str)> {
    Outcome::ALL.into_iter().map(|outcome| (outcome.code(), outcome.label())).collect()
}

/// How the module was compiled; benchmarks refuse "debug".
#[pyfunction]
fn build_profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

#[pymodule]
fn _ingest(module: &Bound<'_, PyModule>) -> PyResult<()> {
    agents_py::register(module)?;
    scan_py::register(module)?;
    module.add_class::<collector_py::Collector>()?;
    module.add_class::<collector_py::SealedSegments>()?;
    module.add_class::<connection_py::Connection>()?;
    module.add_class::<connection_py::DelegatedRequest>()?;
    for (name, bit) in connection_py::MASK {
        module.add(name, bit)?;
    }
    module.add_function(wrap_pyfunction!(outcomes, module)?)?;
    module.add_function(wrap_pyfunction!(build_profile, module)?)
}
