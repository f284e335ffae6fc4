//! What was counted: outcomes, latencies as HdrHistograms, bytes. Printed as JSON lines.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::answer::{OUTCOMES, Outcome};
use crate::connection::Wire;

// Up to two minutes, three digits: what wrk2 keeps. Microseconds.
const LONGEST_US: u64 = 120_000_000;
const DIGITS: u8 = 3;

/// Counts of the whole run, or of one interval of it.
pub struct Report {
    /// From the due time to the answer, µs: what a visitor would have seen.
    pub latency: Histogram<u64>,
    /// From handing it to a connection to the answer, µs: what a closed loop would have said.
    pub uncorrected: Histogram<u64>,
    /// From the due time until a connection took it, µs: the generator's own lateness, and waits for a free connection.
    pub lateness: Histogram<u64>,
    outcomes: [u64; OUTCOMES],
}

impl Report {
    /// Nothing counted.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        let empty = || Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Ok(Self { latency: empty()?, uncorrected: empty()?, lateness: empty()?, outcomes: [0; OUTCOMES] })
    }

    /// Forget everything.
    pub fn reset(&mut self) {
        self.latency.reset();
        self.uncorrected.reset();
        self.lateness.reset();
        self.outcomes = [0; OUTCOMES];
    }

    /// One hit has ended.
    pub fn count(&mut self, outcome: Outcome) {
        if let Some(count) = self.outcomes.get_mut(outcome as usize) {
            *count += 1;
        }
    }

    /// Hits that ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome as usize).copied().unwrap_or(0)
    }

    fn outcomes_json(&self) -> String {
        let named = [
            ("unsent", Outcome::Unsent),
            ("accepted", Outcome::Accepted),
            ("dropped", Outcome::Dropped),
            ("refused", Outcome::Refused),
            ("unanswered", Outcome::Unanswered),
            ("failed", Outcome::Failed),
        ];
        named.map(|(name, outcome)| format!("\"{name}\":{}", self.of(outcome))).join(",")
    }

    /// One line for an interval.
    pub fn interval_line(&self, at_s: f64, waiting: u64) -> String {
        let quantile = |share: f64| self.latency.value_at_quantile(share);
        format!(
            "{{\"at_s\":{at_s:.3},{},\"waiting\":{waiting},\"p50_us\":{},\"p99_us\":{},\"p999_us\":{},\"max_us\":{}}}",
            self.outcomes_json(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            self.latency.max()
        )
    }

    /// The last line: everything, histograms in their own compressed form.
    pub fn final_line(&self, duration_s: f64, opened: u64, wire: Wire) -> io::Result<String> {
        Ok(format!(
            "{{\"final\":true,\"duration_s\":{duration_s:.6},{},\"connections_opened\":{opened},\
             \"bytes_sent\":{},\"bytes_received\":{},\"latency\":\"{}\",\"uncorrected\":\"{}\",\"lateness\":\"{}\"}}",
            self.outcomes_json(),
            wire.sent,
            wire.received,
            encoded(&self.latency)?,
            encoded(&self.uncorrected)?,
            encoded(&self.lateness)?
        ))
    }
}

/// Base64 of HdrHistogram's compressed form: what its other implementations read.
fn encoded(histogram: &Histogram<u64>) -> io::Result<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).map_err(io::Error::other)?;
    Ok(STANDARD.encode(&bytes))
}
