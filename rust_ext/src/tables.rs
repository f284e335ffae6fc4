//! The code tables of the stored format and what this build is, for the tests that compare them with the other parts.
use footfall_ingest::drop_reason::Outcome;
use footfall_ingest::record::{Channel, Device, EventKind, Metric, StringField};
use pyo3::prelude::*;

type Table = Vec<(u8, &'static str)>;

#[pyfunction]
fn outcomes() -> Table {
    Outcome::ALL.iter().map(|outcome| (outcome.code(), outcome.label())).collect()
}

#[pyfunction]
fn event_kinds() -> Table {
    EventKind::ALL.iter().map(|kind| (kind.code(), kind.name())).collect()
}

#[pyfunction]
fn devices() -> Table {
    Device::ALL.iter().map(|device| (device.code(), device.name())).collect()
}

#[pyfunction]
fn channels() -> Table {
    Channel::ALL.iter().map(|channel| (channel.code(), channel.name())).collect()
}

#[pyfunction]
fn metrics() -> Table {
    Metric::ALL.iter().map(|metric| (metric.code(), metric.name())).collect()
}

#[pyfunction]
fn string_fields() -> Vec<&'static str> {
    StringField::ALL.iter().map(|field| field.name()).collect()
}

#[pyfunction]
fn build_profile() -> &'static str {
    env!("FOOTFALL_BUILD_PROFILE")
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(outcomes, module)?)?;
    module.add_function(wrap_pyfunction!(event_kinds, module)?)?;
    module.add_function(wrap_pyfunction!(devices, module)?)?;
    module.add_function(wrap_pyfunction!(channels, module)?)?;
    module.add_function(wrap_pyfunction!(metrics, module)?)?;
    module.add_function(wrap_pyfunction!(string_fields, module)?)?;
    module.add_function(wrap_pyfunction!(build_profile, module)?)
}
