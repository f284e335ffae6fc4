//! Several events in one request: server batches (`POST /api/events`) and Umami's `POST /api/batch`.
//!
//! The frame is read before anything is logged: a body that is no list at all is refused whole and logs nothing. After that
//! each event stands for itself, and a wrong one costs only itself.

use std::net::IpAddr;

use serde::Serialize;

use super::judge::{Arrival, Verdict};
use super::{Pipeline, RecordSink, answer, arrival};
use crate::agents::ClientHints;
use crate::drop_reason::Outcome;
use crate::http::HitRequest;
use crate::payload::event::{self, Sender};
use crate::payload::json::{Cursor, JsonError, Value};
use crate::payload::{HitFields, Reject, umami};
use crate::scratch::Scratch;
use crate::snapshot::Snapshot;

/// Errors told in full; the others are only counted.
const ERRORS_TOLD_MAX: usize = 20;

/// Events of one Umami batch: as many as fit the front's body limit at the least bytes an event takes.
const UMAMI_EVENTS_MAX: usize = 1_000;

/// What became of a server batch.
#[derive(Debug, Default, Serialize)]
pub struct BatchReport {
    /// Why nothing of it was taken, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
    /// Records per outcome, by label.
    pub outcomes: std::collections::BTreeMap<&'static str, u64>,
    /// The first wrong events.
    pub errors: Vec<BatchError>,
    #[serde(skip)]
    is_logged: bool,
}

/// A wrong event.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct BatchError {
    pub index: usize,
    pub field: &'static str,
    pub message: &'static str,
}

impl BatchReport {
    fn refused(why: &'static str) -> BatchReport {
        BatchReport { refused: Some(why), ..BatchReport::default() }
    }

    /// Whether anything was appended to the open group.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Maps of strings and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn count(&mut self, outcome: Outcome, count: u32) {
        if count > 0 {
            *self.outcomes.entry(outcome.label()).or_default() += u64::from(count);
            self.is_logged = true;
        }
    }
}

/// The elements of a JSON array, as their texts.
fn elements(text: &str) -> Result<Vec<&str>, JsonError> {
    let mut cursor = Cursor::new(text);
    if cursor.value()? != Value::Array {
        return Err(JsonError { at: 0 });
    }
    let (mut found, mut first) = (Vec::new(), true);
    while cursor.next_element(&mut first)? {
        let start = cursor.offset();
        cursor.skip_value()?;
        found.push(text.get(start..cursor.offset()).unwrap_or_default());
    }
    cursor.finish()?;
    Ok(found)
}

impl<S: RecordSink> Pipeline<S> {
    /// Takes a server batch: a JSON array, or NDJSON, of events in the form of `POST /api/event` with `timestamp`,
    /// `user_agent` and `ip` besides. Events without an address count under `address`. The caller has checked the account
    /// and waits for the commit of the open group when the report says that something was logged.
    pub fn batch(&mut self, body: &[u8], account_id: u32, address: IpAddr, now_ms: i64) -> BatchReport {
        let Some(snapshot) = self.admit() else { return BatchReport::refused("unavailable") };
        let Ok(text) = std::str::from_utf8(body) else { return BatchReport::refused("the body is not UTF-8") };
        let text = text.trim();
        let events = if text.starts_with('[') {
            match elements(text) {
                Ok(events) => events,
                Err(_) => return BatchReport::refused("the body is not a valid JSON array"),
            }
        } else {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
        };
        if events.is_empty() {
            return BatchReport::refused("the body holds no events");
        }
        if events.len() > self.limits.batch_events {
            return BatchReport::refused("the body holds more than 10,000 events");
        }
        let mut report = BatchReport::default();
        let longest = events.iter().map(|event| event.len()).max().unwrap_or_default();
        let mut space = self.take_space(longest.min(self.limits.batch_event_bytes));
        for (index, event) in events.into_iter().enumerate() {
            let mut scratch = Scratch::new(&mut space);
            let verdict = self.server_event(&snapshot, event, account_id, address, now_ms, &mut scratch, &mut report);
            if let Some(reject) = verdict.reject {
                report.count(reject.outcome, 1);
                if report.errors.len() < ERRORS_TOLD_MAX {
                    report.errors.push(BatchError { index, field: reject.field, message: reject.message });
                }
            }
        }
        self.space = space;
        report
    }

    #[allow(clippy::too_many_arguments)] // the parts of one batch
    fn server_event<'a>(
        &mut self,
        snapshot: &Snapshot,
        event: &'a str,
        account_id: u32,
        address: IpAddr,
        now_ms: i64,
        scratch: &mut Scratch<'a>,
        report: &mut BatchReport,
    ) -> Verdict {
        let mut fields = HitFields::default();
        let decoded = if event.len() > self.limits.batch_event_bytes {
            Err(Reject::too_long("event"))
        } else {
            event::decode(event, Sender::Server, &self.limits, scratch, &mut fields)
        };
        let arrival = Arrival {
            now_ms,
            address,
            agent: b"",
            hints: ClientHints::default(),
            accept_language: None,
            is_prefetch: false,
            sender: Sender::Server,
            account_id: Some(account_id),
        };
        let before = self.counts.clone();
        let verdict = self.log(snapshot, &arrival, decoded, &fields, scratch);
        if verdict.reject.is_none() {
            for outcome in Outcome::ALL {
                let added = self.counts.of(outcome) - before.of(outcome);
                report.count(outcome, u32::try_from(added).unwrap_or(u32::MAX));
            }
        }
        verdict
    }

    /// Takes and answers an Umami batch.
    pub(super) fn umami_batch<'a>(
        &mut self,
        snapshot: &Snapshot,
        request: &HitRequest<'a>,
        now_ms: i64,
        scratch: &mut Scratch<'a>,
        out: &mut Vec<u8>,
    ) {
        const NOT_A_LIST: Reject = Reject::json("must be a JSON array");
        let arrival = arrival(request, now_ms);
        let listed = std::str::from_utf8(request.body).ok().and_then(|text| elements(text).ok());
        let Some(messages) = listed.filter(|messages| !messages.is_empty() && messages.len() <= UMAMI_EVENTS_MAX)
        else {
            let verdict = self.log(snapshot, &arrival, Err(NOT_A_LIST), &HitFields::default(), scratch);
            answer::write(&self.answers, request, &verdict, out);
            return;
        };
        let (size, mut errors, mut details) = (messages.len(), 0, Vec::new());
        for (index, message) in messages.into_iter().enumerate() {
            let mut fields = HitFields::default();
            let decoded = umami::decode(message, Sender::Client, &self.limits, scratch, &mut fields);
            let verdict = self.log(snapshot, &arrival, decoded, &fields, scratch);
            if answer::is_umami_error(&verdict) {
                if errors > 0 {
                    details.push(b',');
                }
                errors += 1;
                answer::umami_detail(index, &verdict, &mut details);
            }
        }
        let mut body = Vec::with_capacity(64 + details.len());
        answer::umami_batch(size, errors, &details, &mut body);
        self.answers.json(request.reply, None, &body, out);
    }
}
