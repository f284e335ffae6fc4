//! Invariant: however a connection's bytes are cut into reads, and whenever its groups are committed, the same hits and
//! requests come out and the same answers leave; when every commit fails, as many answers leave; all are well formed;
//! nothing panics.
//!
//! The first two bytes choose the peer's trust and the cuts; the rest is what the peer sends, where a byte from 0xE0
//! stands for one of `WORDS`, so that the fuzzer writes whole requests from its first second on.
#![no_main]
#[path = "../../ingest/tests/http/driver.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod driver;

use driver::{Pace, run, statuses};
use footfall_ingest::http::{HttpSettings, Limits, ProxyTrust};
use libfuzzer_sys::fuzz_target;

/// Limits that short inputs can pass.
fn settings(proxy_protocol: bool) -> HttpSettings {
    let limits = Limits {
        max_request_line_bytes: 60,
        max_head_bytes: 200,
        max_headers: 6,
        max_hit_body_bytes: 40,
        max_delegated_body_bytes: 50,
        max_chunk_extra_bytes: 16,
        max_pipelined: 3,
        max_buffered_bytes: 24,
        max_proxy_header_bytes: 64,
        ..Limits::default()
    };
    let trust = ProxyTrust::new(&["10.0.0.0/8"], "X-Forwarded-For", proxy_protocol).unwrap_or_default();
    HttpSettings { limits, trust, ..HttpSettings::default() }
}

const FIRST_WORD: u8 = 0xE0;
const WORDS: [&str; 32] = [
    "POST /api/event HTTP/1.1\r\nHost: a\r\n",
    "GET /hit.gif?p=/ HTTP/1.0\r\n",
    "GET /page HTTP/1.1\r\nHost: a\r\n",
    "OPTIONS /api/send HTTP/1.1\r\nHost: a\r\n",
    "POST /api/event HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n",
    "POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n",
    "Content-Length: ",
    "Transfer-Encoding: ",
    "chunked",
    "Connection: ",
    "close",
    "keep-alive",
    "Expect: 100-continue\r\n",
    "X-Forwarded-For: ",
    "Host: b\r\n",
    "HTTP/1.1",
    "HEAD ",
    "http://b/hit.gif",
    "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    "\r\n",
    "\r\n\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "14\r\n01234567890123456789\r\n",
    ";a=b",
    "debug",
    "full",
    "192.0.2.77, 10.0.0.2",
    ": ",
];

fn spell_out(data: &[u8]) -> Vec<u8> {
    let mut input = Vec::new();
    for &byte in data {
        match byte.checked_sub(FIRST_WORD).and_then(|index| WORDS.get(usize::from(index))) {
            Some(word) => input.extend_from_slice(word.as_bytes()),
            None => input.push(byte),
        }
    }
    input
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, rest @ ..] = data else { return };
    let input = spell_out(rest);
    let peer = if choice & 1 == 0 { "192.0.2.9" } else { "10.0.0.1" };
    let settings = settings(choice & 2 != 0);
    let whole = run(settings.clone(), peer, Pace::Eager, [&input[..]]);
    let failed = run(settings.clone(), peer, Pace::Failing, [&input[..]]);
    assert_eq!(failed.events, whole.events);
    assert_eq!(statuses(&failed.written).len(), statuses(&whole.written).len());
    let piece_bytes = usize::from(*cut).max(1);
    for pace in [Pace::Eager, Pace::Lazy] {
        assert_eq!(run(settings.clone(), peer, pace, input.chunks(1)), whole, "bytewise, {pace:?}");
        assert_eq!(run(settings.clone(), peer, pace, input.chunks(piece_bytes)), whole, "{piece_bytes}, {pace:?}");
    }
});
