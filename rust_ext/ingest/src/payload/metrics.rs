//! Measured values of a page load: web vitals and navigation timings, by name.
//!
//! 0 is a measurement (a cached DNS answer takes 0 ms); absent and null are none.

use super::json::{Cursor, JsonError, Value};
use super::{FirstReject, Reject};
use crate::record::Metric;
use crate::scratch::Scratch;

/// Metrics that exist.
pub const MAX_METRICS: usize = 13;

/// Largest web vital; Umami's limit. A page that took longer was in the background.
const VITAL_MAX_MS: f64 = 60_000.0;
/// Largest layout shift; Umami's limit.
const CLS_MAX: f64 = 100.0;
/// Largest navigation timing: ten minutes, far beyond any browser's own network timeout.
const TIMING_MAX_MS: f64 = 600_000.0;
/// Largest page: 1 TB, beyond any; keeps the stored f32 and sums of it meaningful.
const TRANSFER_MAX_BYTES: f64 = 1e12;

/// The values of one report.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Most events have none, and so nothing is written for them.
    items: Option<[(Metric, f32); MAX_METRICS]>,
    count: usize,
}

/// The metric of a name: our tracker's, Umami's and Panelbear's names.
#[must_use]
pub fn metric_of_name(name: &[u8]) -> Option<Metric> {
    Some(match name {
        b"lcp" => Metric::LcpMs,
        b"inp" => Metric::InpMs,
        b"cls" => Metric::Cls,
        b"fcp" => Metric::FcpMs,
        b"ttfb" => Metric::TtfbMs,
        b"dns" => Metric::DnsMs,
        b"connect" => Metric::ConnectMs,
        b"tls" | b"ssl" => Metric::TlsMs,
        b"download" => Metric::DownloadMs,
        b"dom_interactive" => Metric::DomInteractiveMs,
        b"dom_content_loaded" => Metric::DomContentLoadedMs,
        b"load" | b"page_load" => Metric::LoadMs,
        b"transfer_bytes" | b"transfer_size" => Metric::TransferBytes,
        _ => return None,
    })
}

const fn largest(metric: Metric) -> f64 {
    match metric {
        Metric::LcpMs | Metric::InpMs | Metric::FcpMs | Metric::TtfbMs => VITAL_MAX_MS,
        Metric::Cls => CLS_MAX,
        Metric::TransferBytes => TRANSFER_MAX_BYTES,
        _ => TIMING_MAX_MS,
    }
}

impl Metrics {
    /// The values.
    #[must_use]
    pub fn as_slice(&self) -> &[(Metric, f32)] {
        self.items.as_ref().and_then(|items| items.get(..self.count)).unwrap_or_default()
    }

    /// Whether any of them is a web vital.
    #[must_use]
    pub fn has_vital(&self) -> bool {
        self.as_slice()
            .iter()
            .any(|(metric, _)| matches!(metric, Metric::LcpMs | Metric::InpMs | Metric::Cls | Metric::FcpMs))
    }

    /// Sets one value from a number's text; the last one counts.
    ///
    /// # Errors
    /// Not a number, negative, or larger than the metric can be.
    pub fn set(&mut self, metric: Metric, text: &str) -> Result<(), Reject> {
        let value: f64 = text.parse().map_err(|_| Reject::field_type("metrics", "must be numbers"))?;
        self.set_value(metric, value)
    }

    fn set_value(&mut self, metric: Metric, value: f64) -> Result<(), Reject> {
        if !(0.0..=largest(metric)).contains(&value) {
            return Err(Reject::range("metrics", "are out of range"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "rounds to the nearest f32, and the range is checked")]
        let value = value as f32;
        let items = self.items.get_or_insert([(Metric::LcpMs, 0.0); MAX_METRICS]);
        let known = items.iter().take(self.count).position(|(known, _)| *known == metric);
        let index = known.unwrap_or(self.count);
        if let Some(item) = items.get_mut(index) {
            *item = (metric, value);
            self.count = self.count.max(index + 1);
        }
        Ok(())
    }

    /// Reads a value for one metric; null says nothing.
    ///
    /// # Errors
    /// The text around is not JSON. What is wrong with the value itself goes to `rejects`.
    pub(crate) fn read_one(
        &mut self,
        metric: Metric,
        cursor: &mut Cursor<'_>,
        rejects: &mut FirstReject,
    ) -> Result<(), JsonError> {
        if let Some(plain) = cursor.plain_decimal() {
            rejects.take(self.set_value(metric, plain));
            return Ok(());
        }
        match cursor.value()? {
            Value::Null => {}
            Value::Number(text) => rejects.take(self.set(metric, text)),
            other => {
                cursor.skip_rest(other)?;
                rejects.note(Reject::field_type("metrics", "must be numbers"));
            }
        }
        Ok(())
    }

    /// Reads an object of metrics; names nobody knows are ignored. A number in its place is handed back: Plausible's older
    /// tracker sends the window's width under the same key.
    ///
    /// # Errors
    /// The text around is not JSON. What is wrong with the metrics themselves goes to `rejects`.
    pub(crate) fn read_object<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        scratch: &mut Scratch<'a>,
        rejects: &mut FirstReject,
    ) -> Result<Option<&'a str>, JsonError> {
        match cursor.value()? {
            Value::Null => {}
            Value::Number(width) => return Ok(Some(width)),
            Value::Object => {
                let mut first = true;
                while let Some(key) = cursor.next_key(&mut first)? {
                    match metric_of_name(key.bytes(scratch)) {
                        Some(metric) => self.read_one(metric, cursor, rejects)?,
                        None => cursor.skip_value()?,
                    }
                }
            }
            other => {
                cursor.skip_rest(other)?;
                rejects.note(Reject::field_type("metrics", "must be an object"));
            }
        }
        Ok(None)
    }
}
