//! HTTP/1.1 for hits, without I/O: bytes in, answers out.
//!
//! [`Connection`] is fed what the socket read. Each complete hit in it goes to the [`HitHandler`] at once, parsed in
//! place; every other request surfaces as a [`DelegatedRequest`] for the ordinary web application. This module knows
//! nothing of payloads, sites or segments.
//!
//! ```text
//! feed(bytes) ─┬─ plain_head.rs, head.rs ── a hit ──▶ HitHandler ──▶ answer ──▶ answer_queue.rs ── commit ──▶ take_ready(out)
//!              ├─ head.rs ── not a hit ──▶ DelegatedRequest + body chunks ──▶ the web application
//!              └─ rejection.rs ──▶ 4xx/5xx, then close
//! ```
//!
//! Invariants, held by the tests in `tests/http_*.rs` and the fuzz target `http`:
//!
//! * How the bytes are cut into reads never changes what is handled, nor what is answered.
//! * Answers leave in the order of their requests. An answer whose records wait for a commit holds back all later ones.
//! * A request's framing is never guessed: whatever two parsers could read differently is refused and the connection
//!   closed.
//! * No input panics; what a connection may hold is bounded by [`Limits`].
mod answer_queue;
mod chunked;
mod client_address;
mod connection;
mod date;
mod delegated;
mod endpoint;
mod head;
mod hit;
mod limits;
mod plain_head;
mod proxy_protocol;
mod rejection;
pub mod response;
mod settings;

pub use answer_queue::GroupId;
pub use client_address::{ClientAddress, Network, PeerAddress, ProxyTrust, TrustError};
pub use connection::{Connection, Progress, Waiting};
pub use delegated::{BodyEvent, DelegatedRequest};
pub use endpoint::{AliasError, Endpoint, EndpointTable};
pub use limits::Limits;
pub use rejection::Rejection;
pub use response::{Answers, Reply};
pub use settings::{HttpOptions, HttpSettings, SettingsError};

/// One complete hit. Everything borrows from the read buffer.
#[derive(Debug, Clone, Copy)]
pub struct HitRequest<'a> {
    /// Which API the hit speaks.
    pub endpoint: Endpoint,
    /// The target's bytes after `?`, still percent-encoded; empty without one.
    pub query: &'a [u8],
    /// The whole body, transfer coding removed; empty for [`Endpoint::Gif`].
    pub body: &'a [u8],
    /// The headers a hit can use.
    pub headers: HitHeaders<'a>,
    /// Who sent it, after the trusted-proxy rules.
    pub client: ClientAddress,
    /// How the answer must be framed; pass it to [`Answers`].
    pub reply: Reply,
}

/// The headers that hits use: the first value of each, surrounding blanks removed, otherwise as sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct HitHeaders<'a> {
    pub user_agent: Option<&'a [u8]>,
    pub referer: Option<&'a [u8]>,
    pub origin: Option<&'a [u8]>,
    pub accept_language: Option<&'a [u8]>,
    pub sec_ch_ua: Option<&'a [u8]>,
    pub sec_ch_ua_mobile: Option<&'a [u8]>,
    pub sec_ch_ua_platform: Option<&'a [u8]>,
    pub sec_ch_ua_platform_version: Option<&'a [u8]>,
    pub sec_ch_ua_model: Option<&'a [u8]>,
    pub sec_ch_ua_full_version_list: Option<&'a [u8]>,
    /// Any of `Sec-Purpose`, `Purpose`, `X-Purpose`, `X-Moz`: says when the page is only prefetched.
    pub purpose: Option<&'a [u8]>,
    pub debug_request: Option<&'a [u8]>,
    pub umami_cache: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    pub content_encoding: Option<&'a [u8]>,
    pub authorization: Option<&'a [u8]>,
}

/// What the handler did with a hit. In every case it has written one complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitOutcome {
    /// Nothing was logged (a debug request): the answer may leave at once.
    Answered,
    /// Records were appended to the open group: the answer waits for that group's commit.
    Logged,
    /// The spool is full or there is no snapshot: a 503 was written, nothing was logged.
    Unavailable,
}

/// Takes hits. Implemented by the pipeline.
pub trait HitHandler {
    /// Takes one hit and appends exactly one complete HTTP answer to `answer`, written by [`Answers`] with
    /// `request.reply`.
    fn hit(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome;

    /// A hit's body is over `Limits::max_hit_body_bytes`; `request.body` is empty. Leaves a short record if it can and
    /// appends one complete 413. The connection closes after it: `request.reply` already says so.
    fn hit_too_large(&mut self, request: &HitRequest<'_>, now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome;
}
