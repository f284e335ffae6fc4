//! hit → record: one hit from its request to the open group, and the answer to it.
//!
//! Every answered hit leaves one record per site it names: a full one when it is accepted, a short one otherwise. The
//! rules, in this order; the first that applies decides:
//!
//! | | rule | outcome |
//! |---:|---|---|
//! | 1 | the payload can be read | `json`, `field_…`, `url`, `body_too_large` |
//! | 2 | the site is known, and the sender's where an account is | `unknown_site` |
//! | 3 | within its capacity, not blocked | `capacity`, `blocked` |
//! | 4 | a kind of event that is stored | `unsupported` |
//! | 5 | not from a network or a country that the site keeps out | `blocked_network`, `blocked_country` |
//! | 6 | within the rate of its address and of its site (server batches are not rated) | `rate` |
//! | 7 | from an allowed hostname | `hostname` |
//! | 8 | not of a page that the site keeps out | `blocked_path` |
//! | 9 | a supplied time is recent | `timestamp` |
//! | 10 | seen, not prefetched | `prefetch` |
//! | 11 | not a bot by a reason that the site keeps out | `bot` |
//! | 12 | not from a spam referrer | `referrer_spam` |
//! | 13 | kept by the site's sampling | `sampled` |
//!
//! Whoever is kept out by address does not use up the site's rate. Rates come before what may be slow, patterns of paths and
//! agents: a hit made to be slow must not be worth sending twice.
//! Without a snapshot, without a salt or without room in the spool nothing is judged: the answer is 503.
//!
//! Ownership: one pipeline per process, used by one thread. Nothing is allocated per hit: strings borrow from the request
//! or from `space`, which is kept.
mod answer;
mod batch;
mod judge;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

pub use batch::BatchReport;

use crate::agents::{AgentParser, ClientHints};
use crate::drop_reason::Outcome;
use crate::http::response::RETRY_AFTER_S;
use crate::http::{Answers, Endpoint, HitHandler, HitOutcome, HitRequest};
use crate::lanes::text_of;
use crate::payload::event::{self, Sender};
use crate::payload::{HitFields, PayloadLimits, Reject, gif, umami};
use crate::rate::{DEFAULT_SETS, RateTable};
use crate::record::{HitRecord, ShortRecord};
use crate::rules::Rules;
use crate::scratch::{SPACE_EXTRA_BYTES, SPACE_PER_INPUT_BYTE, Scratch};
use crate::snapshot::Snapshot;
use judge::{Arrival, Verdict};

/// Where records go. The spool implements it for the loop thread.
pub trait RecordSink {
    /// Whether one more hit (or one whole server batch) may be appended; false is answered 503.
    fn room(&self) -> bool;
    /// Appends an accepted hit to the open segment of its shard.
    fn append_hit(&mut self, shard: u32, record: &HitRecord<'_>);
    /// Appends a dropped or rejected hit.
    fn append_short(&mut self, record: &ShortRecord);
}

/// What an operator may set; JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineOptions {
    /// Agents remembered; 112 bytes of answer each, besides the agent's hash.
    pub agent_cache_entries: usize,
    /// Sets of four buckets of the rate table.
    pub rate_sets: usize,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        PipelineOptions { agent_cache_entries: 16_384, rate_sets: DEFAULT_SETS }
    }
}

/// Counts per outcome since the start, by code.
#[derive(Debug, Clone)]
pub struct OutcomeCounts([u64; 256]);

impl OutcomeCounts {
    fn add(&mut self, outcome: Outcome) {
        if let Some(count) = self.0.get_mut(usize::from(outcome.code())) {
            *count += 1;
        }
    }

    fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(usize::from(outcome.code())).copied().unwrap_or_default()
    }
}

/// See the module.
pub struct Pipeline<S> {
    sink: S,
    snapshot: Option<Arc<Snapshot>>,
    judge: judge::Judge,
    limits: PayloadLimits,
    answers: Answers,
    space: Vec<u8>,
    counts: OutcomeCounts,
    unavailable: u64,
}

impl<S: RecordSink> Pipeline<S> {
    /// `seed` must be random per process, so that nobody can aim at slots of its tables.
    pub fn new(sink: S, rules: Arc<Rules>, seed: [u64; 2], options: &PipelineOptions) -> Pipeline<S> {
        Pipeline {
            sink,
            snapshot: None,
            judge: judge::Judge {
                agents: AgentParser::new(Arc::clone(&rules), seed, options.agent_cache_entries),
                rates: RateTable::new(options.rate_sets, seed[0].rotate_left(17) ^ seed[1]),
                rules,
            },
            limits: PayloadLimits::default(),
            answers: Answers::at(0),
            space: Vec::new(),
            counts: OutcomeCounts([0; 256]),
            unavailable: 0,
        }
    }

    /// The sites, salts and rates to judge by from now on.
    pub fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = Some(snapshot);
    }

    /// Whether hits can be judged: there is a snapshot with a salt.
    #[must_use]
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.has_salt())
    }

    /// The sink.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Outcomes since the start.
    pub fn outcome_counts(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.counts.of(outcome)))
    }

    /// Hits answered 503 since the start, before they were judged.
    #[must_use]
    pub fn unavailable_count(&self) -> u64 {
        self.unavailable
    }

    /// The snapshot, if a hit can be taken now.
    fn admit(&mut self) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshot.as_ref().filter(|snapshot| snapshot.has_salt() && self.sink.room());
        self.unavailable += u64::from(snapshot.is_none());
        snapshot.map(Arc::clone)
    }

    /// Room for the strings of so many bytes of input. Given back to `self.space` by the caller.
    fn take_space(&mut self, input_bytes: usize) -> Vec<u8> {
        let mut space = std::mem::take(&mut self.space);
        let wanted = input_bytes.saturating_mul(SPACE_PER_INPUT_BYTE).saturating_add(SPACE_EXTRA_BYTES);
        if space.len() < wanted {
            space.resize(wanted, 0);
        }
        space
    }

    /// Judges what a payload says for every site it names, and logs it.
    fn log<'a>(
        &mut self,
        snapshot: &Snapshot,
        arrival: &Arrival<'a>,
        decoded: Result<(), Reject>,
        fields: &HitFields<'a>,
        scratch: &mut Scratch<'a>,
    ) -> Verdict {
        let Pipeline { sink, judge, counts, limits, .. } = self;
        let mut log = judge::Log { sink, counts };
        judge.judge(snapshot, arrival, decoded, fields, limits, scratch, &mut log)
    }
}

/// What the request's headers say about its sender.
fn arrival<'a>(request: &HitRequest<'a>, now_ms: i64) -> Arrival<'a> {
    let headers = request.headers;
    Arrival {
        now_ms,
        address: request.client.ip,
        agent: headers.user_agent.unwrap_or_default(),
        hints: ClientHints {
            brands: headers.sec_ch_ua,
            mobile: headers.sec_ch_ua_mobile,
            platform: headers.sec_ch_ua_platform,
            platform_version: headers.sec_ch_ua_platform_version,
            model: headers.sec_ch_ua_model,
            full_version_list: headers.sec_ch_ua_full_version_list,
        },
        accept_language: headers.accept_language,
        is_prefetch: headers.purpose.is_some_and(is_prefetch),
        sender: Sender::Client,
        account_id: None,
    }
}

/// `prefetch`, `prefetch;prerender`, `preview`: fetched ahead, not seen.
fn is_prefetch(purpose: &[u8]) -> bool {
    ["prefetch", "prerender", "preview"]
        .iter()
        .any(|word| purpose.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes())))
}

impl<S: RecordSink> HitHandler for Pipeline<S> {
    fn hit(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
        self.answers.refresh(now_ms);
        if request.headers.debug_request.is_some_and(|value| value.eq_ignore_ascii_case(b"true")) {
            answer::debug(&self.answers, request, answer);
            return HitOutcome::Answered;
        }
        let Some(snapshot) = self.admit() else {
            self.answers.unavailable(request.reply, RETRY_AFTER_S, answer);
            return HitOutcome::Unavailable;
        };
        let referer_bytes = request.headers.referer.map_or(0, <[u8]>::len);
        let mut space = self.take_space(request.body.len() + request.query.len() + referer_bytes);
        if request.endpoint == Endpoint::Batch {
            self.umami_batch(&snapshot, request, now_ms, &mut Scratch::new(&mut space), answer);
        } else {
            let mut scratch = Scratch::new(&mut space);
            let mut fields = HitFields::default();
            let decoded = self.decode(request, &mut scratch, &mut fields);
            let verdict = self.log(&snapshot, &arrival(request, now_ms), decoded, &fields, &mut scratch);
            answer::write(&self.answers, request, &verdict, answer);
        }
        self.space = space;
        HitOutcome::Logged
    }

    fn hit_too_large(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
        self.answers.refresh(now_ms);
        if self.admit().is_none() {
            self.answers.unavailable(request.reply, RETRY_AFTER_S, answer);
            return HitOutcome::Unavailable;
        }
        judge::Log { sink: &mut self.sink, counts: &mut self.counts }.short(Outcome::BodyTooLarge, 0, 0, now_ms);
        self.answers.body_too_large(request.reply, answer);
        HitOutcome::Logged
    }
}

impl<S: RecordSink> Pipeline<S> {
    fn decode<'a>(
        &self,
        request: &HitRequest<'a>,
        scratch: &mut Scratch<'a>,
        fields: &mut HitFields<'a>,
    ) -> Result<(), Reject> {
        const NOT_TEXT: Reject = Reject::json("is not UTF-8");
        let text = |bytes: &'a [u8]| text_of(bytes).map_err(|_| NOT_TEXT);
        match request.endpoint {
            Endpoint::Event => event::decode(text(request.body)?, Sender::Client, &self.limits, scratch, fields),
            Endpoint::Send | Endpoint::Batch => {
                umami::decode(text(request.body)?, Sender::Client, &self.limits, scratch, fields)
            }
            Endpoint::Gif => {
                let referer = request.headers.referer.and_then(|referer| std::str::from_utf8(referer).ok());
                gif::decode(text(request.query)?, referer, &self.limits, scratch, fields)
            }
        }
    }
}

/// The address of a hit whose sender may name another.
fn address_of(fields: &HitFields<'_>, arrival: &Arrival<'_>) -> IpAddr {
    match arrival.sender {
        Sender::Server => fields.address.unwrap_or(arrival.address),
        Sender::Client => arrival.address,
    }
}
