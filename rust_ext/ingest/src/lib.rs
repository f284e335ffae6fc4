//! Footfall's ingest core: everything between the socket's bytes and the spool segment, without Python.
//!
//! ```text
//! bytes → http::Connection → pipeline::Pipeline (payload, agents, url, country, visitor) → record → spool → segment
//! ```
pub mod agents;
pub mod blocks;
pub mod country;
pub mod drop_reason;
pub mod http;
mod lanes;
pub mod language;
pub mod layout;
pub mod payload;
pub mod pipeline;
pub mod rate;
pub mod record;
pub mod recovery;
pub mod referrer;
pub mod rules;
pub mod scratch;
pub mod segment;
pub mod snapshot;
pub mod sockets;
pub mod spool;
pub mod url;
pub mod visitor;
