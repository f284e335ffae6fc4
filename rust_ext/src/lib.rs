//! The only `#[pymodule]`: `rust_ext._ingest`. Bytes and buffers cross here, nothing else.
//! The checked stub is `rust_ext/_ingest.pyi`.
mod agents_py;
mod collector_py;
mod connection_py;
mod past_events_py;
mod scan_py;
mod sockets_py;
mod tables;

use pyo3::prelude::*;

#[pymodule]
fn _ingest(module: &Bound<'_, PyModule>) -> PyResult<()> {
    agents_py::register(module)?;
    scan_py::register(module)?;
    past_events_py::register(module)?;
    module.add_class::<collector_py::Collector>()?;
    module.add_class::<collector_py::SealedSegments>()?;
    module.add_class::<sockets_py::Sockets>()?;
    module.add_class::<connection_py::Connection>()?;
    module.add_class::<connection_py::DelegatedRequest>()?;
    for (name, bit) in connection_py::MASK {
        module.add(name, bit)?;
    }
    tables::register(module)
}
