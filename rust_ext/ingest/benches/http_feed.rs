//! What one beacon costs in `http::Connection`: parse, framing, header lookup, answer, release. No payload, no spool.
//!
//! Run: `cargo bench -p footfall-ingest --bench http_feed`. All rows come from one run on one CPU, interleaved, best of
//! the rounds; httparse alone on the same bytes is the yardstick, so compare ratios, not nanoseconds.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark fails by panicking")]
use footfall_ingest::http::{
    Answers, Connection, HitHandler, HitOutcome, HitRequest, HttpSettings, PeerAddress, ProxyTrust,
};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Instant;

const NOW_MS: i64 = 784_111_777_000;
const ROUNDS: usize = 30;
const REQUESTS_PER_ROUND: usize = 24_000;
/// The depth of the front's own pipelining measurement.
const PIPELINED: usize = 24;

/// A beacon as Chrome sends it, 14 header lines, the tracker's body.
fn beacon(forwarded: &str) -> Vec<u8> {
    let body = r#"{"n":"pageview","u":"https://shop.example/products/garden/chairs?utm_source=mail","d":"shop.example","r":"https://www.google.com/","sw":1512,"sh":982,"l":"8f14e45fceea167a","v":3}"#;
    format!(
        "POST /api/event HTTP/1.1\r\nHost: stats.example.com\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\
         sec-ch-ua-platform: \"macOS\"\r\nUser-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36\r\nsec-ch-ua: \"Not)A;Brand\";v=\"8\", \"Chromium\";v=\"138\", \
         \"Google Chrome\";v=\"138\"\r\nContent-Type: text/plain\r\nsec-ch-ua-mobile: ?0\r\nAccept: */*\r\n{forwarded}\
         Origin: https://shop.example\r\nReferer: https://shop.example/products/garden/chairs\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Does no more than a handler must: looks at what it was given, answers 202.
struct Accept {
    answers: Answers,
    seen_bytes: usize,
}

impl HitHandler for Accept {
    fn hit(&mut self, request: &HitRequest<'_>, _now_ms: i64, answer: &mut Vec<u8>) -> HitOutcome {
        self.seen_bytes += request.body.len() + request.headers.user_agent.map_or(0, <[u8]>::len);
        self.answers.event_accepted(request.reply, answer);
        HitOutcome::Logged
    }

    fn hit_too_large(&mut self, _request: &HitRequest<'_>, _now_ms: i64, _answer: &mut Vec<u8>) -> HitOutcome {
        panic!("no body here is too large");
    }
}

struct Bench {
    connection: Connection,
    handler: Accept,
    out: Vec<u8>,
    group: u64,
}

impl Bench {
    fn new(settings: HttpSettings) -> Bench {
        let peer = PeerAddress::parse("10.0.0.1", 4711).unwrap();
        let handler = Accept { answers: Answers::at(NOW_MS), seen_bytes: 0 };
        Bench { connection: Connection::new(Arc::new(settings), peer, NOW_MS), handler, out: Vec::new(), group: 0 }
    }

    /// One read, its commit, its answers.
    fn read(&mut self, data: &[u8]) -> usize {
        let progress = self.connection.feed(black_box(data), NOW_MS, &mut self.handler);
        if progress.logged_hits > 0 {
            self.group += 1;
            self.connection.mark_group(self.group);
            self.out.clear();
            self.connection.release(self.group, true, NOW_MS, &mut self.out);
            assert!(self.out.starts_with(b"HTTP/1.1 202 Accepted\r\n"));
        }
        progress.logged_hits
    }
}

/// Nanoseconds per request of one round.
fn time(mut round: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    let requests = round();
    let elapsed_ns = start.elapsed().as_nanos();
    assert_eq!(requests, REQUESTS_PER_ROUND);
    elapsed_ns as f64 / requests as f64
}

fn httparse_alone(data: &[u8]) -> usize {
    let mut slots = [const { MaybeUninit::uninit() }; 128];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(black_box(data), &mut slots).unwrap();
    assert!(parsed.is_complete() && black_box(&request).headers.len() == 14 - 1);
    1
}

fn main() {
    if cfg!(debug_assertions) {
        panic!("a debug build's figures mean nothing");
    }
    pin_to_one_cpu();
    let direct = beacon("");
    let forwarded = beacon("X-Forwarded-For: 203.0.113.5, 10.2.3.4\r\n");
    let pipelined = direct.repeat(PIPELINED);
    let (first_half, second_half) = direct.split_at(direct.len() / 2);
    let trusting = HttpSettings {
        trust: ProxyTrust::new(&["10.0.0.0/8"], "X-Forwarded-For", false).unwrap(),
        ..HttpSettings::default()
    };
    let [mut whole, mut many, mut halves] = std::array::from_fn(|_| Bench::new(HttpSettings::default()));
    let mut proxied = Bench::new(trusting);
    let names =
        ["httparse alone", "one beacon per read", "behind a trusted proxy", "24 per read", "one beacon in two reads"];
    let mut best_ns = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        let round_ns = [
            time(|| (0..REQUESTS_PER_ROUND).map(|_| httparse_alone(&direct)).sum()),
            time(|| (0..REQUESTS_PER_ROUND).map(|_| whole.read(&direct)).sum()),
            time(|| (0..REQUESTS_PER_ROUND).map(|_| proxied.read(&forwarded)).sum()),
            time(|| (0..REQUESTS_PER_ROUND / PIPELINED).map(|_| many.read(&pipelined)).sum()),
            time(|| (0..REQUESTS_PER_ROUND).map(|_| halves.read(first_half) + halves.read(second_half)).sum()),
        ];
        for (best, round) in best_ns.iter_mut().zip(round_ns) {
            *best = best.min(round);
        }
    }
    println!("{} bytes per request", direct.len());
    for (name, ns) in names.iter().zip(best_ns) {
        println!("{name:<24} {ns:>7.0} ns per request  {:>5.2} × httparse", ns / best_ns[0]);
    }
}

fn pin_to_one_cpu() {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &cpus).unwrap();
}
