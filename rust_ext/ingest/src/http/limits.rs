//! What one connection may cost: sizes, counts, deadlines. Each default says where it comes from.
//!
//! Limits are injectable, so that tests reach every one of them cheaply.

/// The limits of a connection. All of them count what the peer controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Request line without its CRLF; over it: 414. RFC 9112 §3 recommends 8,000 at least; nginx's
    /// `large_client_header_buffers` has 8 KiB.
    pub max_request_line_bytes: usize,
    /// Request line and headers with the blank line; over it: 431. Node's `--max-http-header-size` default.
    pub max_head_bytes: usize,
    /// Header lines; over it: 431. Apache's `LimitRequestFields`; browsers behind two CDNs send about 40.
    pub max_headers: usize,
    /// A hit's body; over it: 413 and a short record. A full Plausible event (30 props of 300 + 2,000 bytes, as JSON)
    /// is 72 KB.
    pub max_hit_body_bytes: usize,
    /// A delegated request's body; over it: 413. 10,000 server-side events of 2 KB.
    pub max_delegated_body_bytes: u64,
    /// Chunk extensions and trailers of one body, together; over it: 400. They have no use here; the bound stops bodies
    /// that are nothing but extensions (Go's CVE-2023-39326).
    pub max_chunk_extra_bytes: usize,
    /// Answers that may wait for a commit or for the socket, per connection; then parsing pauses. Keeps one pipelining
    /// peer from holding the loop for more than about a millisecond.
    pub max_pipelined: usize,
    /// Bytes kept for later while a request is unfinished; above it the socket should not be read. One uvloop read (256
    /// KiB) may come on top.
    pub max_buffered_bytes: usize,
    /// A PROXY v2 header with its TLVs; over it: close. HAProxy's own buffer is larger, but TLVs of known senders stay
    /// below 1 KB.
    pub max_proxy_header_bytes: usize,
    /// From a request's first byte (or the accept) to its complete head. Apache's `mod_reqtimeout` default.
    pub head_deadline_ms: i64,
    /// From a hit's complete head to its complete body; a hit is a few packets.
    pub hit_body_deadline_ms: i64,
    /// Between two reads of a delegated request's body. nginx's `client_body_timeout`.
    pub body_idle_ms: i64,
    /// Without any request under way. nginx's `keepalive_timeout`.
    pub keep_alive_idle_ms: i64,
    /// After our closing answer, for the peer to read it before the socket is torn down. nginx's `lingering_timeout` is
    /// 5 s.
    pub linger_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_request_line_bytes: 8_192,
            max_head_bytes: 16_384,
            max_headers: 100,
            max_hit_body_bytes: 128 * 1024,
            max_delegated_body_bytes: 20 * 1024 * 1024,
            max_chunk_extra_bytes: 4_096,
            max_pipelined: 512,
            max_buffered_bytes: 256 * 1024,
            max_proxy_header_bytes: 4_096,
            head_deadline_ms: 20_000,
            hit_body_deadline_ms: 20_000,
            body_idle_ms: 60_000,
            keep_alive_idle_ms: 75_000,
            linger_ms: 2_000,
        }
    }
}
