//! The HTTP front as its caller sees it: what it refuses, what it accepts, in which order it answers, how it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]
mod accepted;
mod cuts;
mod deadlines;
mod delegated;
mod driver;
mod groups;
mod refused;
