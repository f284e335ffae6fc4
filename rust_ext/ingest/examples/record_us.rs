//! What one hit costs from its parsed request to the bytes of its record: `record_us`, budget 1.5 µs.
//!
//! ```text
//! cargo run --release -p footfall-ingest --example record_us -- rust_ext/rules.pack
//! ```
//!
//! The mix is that of a busy site: page views with Client Hints, referrers and campaigns, engagement, vitals, custom events
//! with props, a few bots and unknown sites; Zipf-like pages, a few hundred agents (a warm cache), many addresses. HTTP
//! parsing and the file are not part of it. Every answer and record is counted and checked. Prints one JSON line
//! per figure, the whole mix first; `--rounds N` repeats it and prints the median. With `--blocks` the site keeps out 10,000
//! networks, 50 countries and 50 path patterns, none of which any hit is of.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::panic)]
#![allow(missing_docs)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use footfall_ingest::http::{ClientAddress, Endpoint, HitHandler, HitHeaders, HitOutcome, HitRequest, Reply};
use footfall_ingest::pipeline::{Pipeline, PipelineOptions, RecordSink};
use footfall_ingest::record::{self, HitRecord, ShortRecord};
use footfall_ingest::rules::Rules;
use footfall_ingest::snapshot::Snapshot;

/// Monday 2026-11-23 12:00:00 UTC.
const NOON_MS: i64 = 1_795_435_200_000;
/// Distinct hits: few enough to stay in the cache, as a body does that was just read from its socket.
const HITS: usize = 2_000;
/// Times that they are sent per round, each time from other addresses.
const REPEATS: u32 = 10;

/// Writes records into memory, as the spool does, and counts them.
#[derive(Default)]
struct Encoded {
    buffer: Vec<u8>,
    rows: u64,
    short: u64,
    bytes: u64,
}

impl RecordSink for Encoded {
    fn room(&self) -> bool {
        true
    }
    fn append_hit(&mut self, _: u32, record: &HitRecord<'_>) {
        self.buffer.clear();
        record::encode_hit(record, &mut self.buffer);
        self.rows += 1;
        self.bytes += self.buffer.len() as u64;
    }
    fn append_short(&mut self, record: &ShortRecord) {
        self.buffer.clear();
        record::encode_short(record, &mut self.buffer);
        self.short += 1;
        self.bytes += self.buffer.len() as u64;
    }
}

struct Hit {
    endpoint: Endpoint,
    body: String,
    query: String,
    agent: String,
    hints: Option<(String, &'static str, &'static str)>,
    language: &'static str,
    is_row: bool,
}

/// xorshift64*: the same mix in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((u128::from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)) * count as u128) >> 64) as usize
    }
    /// Small numbers far more often than large ones.
    fn skewed(&mut self, count: usize) -> usize {
        let wide = self.below(count) + 1;
        self.below(wide)
    }
}

fn agent(random: &mut Random) -> (String, Option<(String, &'static str, &'static str)>) {
    let major = 146 - random.skewed(12);
    let chrome = |platform: &str, tail: &str| {
        format!(
            "Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0{tail} Safari/537.36"
        )
    };
    let brands = format!("\"Chromium\";v=\"{major}\", \"Google Chrome\";v=\"{major}\", \"Not/A)Brand\";v=\"24\"");
    match random.below(20) {
        0..=6 => (chrome("Windows NT 10.0; Win64; x64", ""), Some((brands, "?0", "\"Windows\""))),
        7..=8 => (chrome("Macintosh; Intel Mac OS X 10_15_7", ""), Some((brands, "?0", "\"macOS\""))),
        9..=12 => (chrome("Linux; Android 10; K", " Mobile"), Some((brands, "?1", "\"Android\""))),
        13..=16 => {
            let version = 26 - random.skewed(3);
            let text =
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
            (format!("{text} Version/{version}.{} Mobile/15E148 Safari/604.1", random.below(4)), None)
        }
        17 => {
            let text = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
            (format!("{text} Version/{}.0 Safari/605.1.15", 26 - random.skewed(3)), None)
        }
        18 => {
            let version = 148 - random.skewed(10);
            (
                format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"),
                None,
            )
        }
        _ => (
            chrome("Windows NT 10.0; Win64; x64", "")
                .replace("Safari/537.36", &format!("Safari/537.36 Edg/{major}.0.0.0")),
            None,
        ),
    }
}

fn referrer(random: &mut Random) -> &'static str {
    const REFERRERS: [&str; 7] = [
        "https://www.google.com/",
        "https://www.google.de/",
        "https://news.ycombinator.com/item?id=12345678",
        "https://t.co/abcdefghij",
        "https://www.bing.com/search?q=secret",
        "https://blog.example.net/2026/11/a-long-post-about-analytics/",
        "https://chatgpt.com/",
    ];
    if random.below(2) == 0 { "" } else { REFERRERS[random.skewed(REFERRERS.len())] }
}

fn hit(random: &mut Random) -> Hit {
    let (agent, hints) = agent(random);
    let page =
        format!("https://www.example.com/blog/{}/article-number-{}", 2_020 + random.below(7), random.skewed(500));
    let campaign =
        if random.below(8) == 0 { "?utm_source=newsletter&utm_medium=email&utm_campaign=November%202026" } else { "" };
    let load = format!("{:016x}", random.below(1 << 60));
    let mut hit = Hit {
        endpoint: Endpoint::Event,
        body: String::new(),
        query: String::new(),
        agent,
        hints,
        language: ["en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr", "pt-BR,pt;q=0.9"][random.skewed(4)],
        is_row: true,
    };
    let common = format!(
        "\"u\":\"{page}{campaign}\",\"d\":\"example.com\",\"l\":\"{load}\",\"sw\":1920,\"sh\":1080,\"tz\":\"Europe/Berlin\""
    );
    hit.body = match random.below(100) {
        0..=39 => {
            let from = referrer(random);
            format!("{{\"n\":\"pageview\",\"v\":1,{common},\"r\":\"{from}\",\"h\":0}}")
        }
        40..=59 => format!(
            "{{\"n\":\"engagement\",{common},\"sd\":{},\"e\":{},\"q\":2}}",
            random.below(100),
            random.below(90_000)
        ),
        60..=73 => format!(
            "{{\"n\":\"vitals\",{common},\"q\":1,\"w\":{{\"lcp\":{}.5,\"inp\":{},\"cls\":0.0{},\"fcp\":812.4,\"ttfb\":231}}}}",
            random.below(4_000),
            random.below(300),
            random.below(9)
        ),
        74..=83 => format!(
            "{{\"n\":\"timings\",{common},\"w\":{{\"dns\":0,\"connect\":12,\"tls\":20,\"ttfb\":231,\"download\":9,\"dom_interactive\":640,\"dom_content_loaded\":655,\"load\":{},\"transfer_bytes\":48213}}}}",
            900 + random.below(2_000)
        ),
        84..=92 => format!(
            "{{\"n\":\"Signup\",{common},\"p\":{{\"plan\":\"premium\",\"seats\":{},\"trial\":true}}}}",
            random.below(50)
        ),
        93..=95 => {
            hit.endpoint = Endpoint::Send;
            format!(
                "{{\"type\":\"event\",\"payload\":{{\"website\":\"6f2c8f0e-0a3b-4c55-9d3e-1a2b3c4d5e6f\",\"screen\":\"1920x1080\",\"language\":\"en-US\",\"title\":\"Caf\\u00e9 \\\"x\\\"\",\"hostname\":\"www.example.com\",\"url\":\"{page}\",\"referrer\":\"https://www.google.com/\"}}}}"
            )
        }
        96 => {
            hit.endpoint = Endpoint::Gif;
            hit.query = format!("d=example.com&p=%2Fmail%2F{}&t=A%20title&rnd=abc", random.below(50));
            String::new()
        }
        97..=98 => {
            hit.agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)".to_owned();
            hit.hints = None;
            hit.is_row = false;
            format!("{{\"n\":\"pageview\",{common}}}")
        }
        _ => {
            hit.is_row = false;
            format!("{{\"n\":\"pageview\",\"u\":\"{page}\",\"d\":\"nobody.example\"}}")
        }
    };
    hit
}

/// The entries of a site that blocks much, as members of its JSON.
fn blocks() -> String {
    let list = |entries: Vec<String>| entries.join("\",\"");
    let networks = (0..10_000_u32).map(|index| format!("{}/28", Ipv4Addr::from(0xC000_0000 + (index << 8)))).collect();
    let countries = (0..50_u8).map(|index| format!("Q{}", char::from(b'A' + index % 26))).collect();
    let paths = (0..50).map(|index| match index % 3 {
        0 => format!("/admin-{index}"),
        1 => format!("/internal/{index}/**"),
        _ => format!("/blog/*/draft-{index}-*"),
    });
    format!(
        ",\"blocked_networks\":[\"{}\"],\"blocked_countries\":[\"{}\"],\"blocked_paths\":[\"{}\"]",
        list(networks),
        list(countries),
        list(paths.collect())
    )
}

fn pipeline(rules: Arc<Rules>, blocks: &str) -> Pipeline<Encoded> {
    let day = |date: &str, start_s: i64| format!("[{start_s},\"{date}\"]");
    let snapshot = format!(
        "{{\"version\":1,\"shards\":2,\"timezones\":[{{\"name\":\"UTC\",\"days\":[{},{},{}]}}],\
         \"salts\":{{\"2026-11-23\":\"000102030405060708090a0b0c0d0e0f\"}},\"limits\":{{\"rate_per_address_per_second\":1000}},\
         \"sites\":[{{\"site_id\":1,\"public_id\":\"6f2c8f0e-0a3b-4c55-9d3e-1a2b3c4d5e6f\",\"domain\":\"example.com\",\
         \"timezone\":0,\"state\":\"active\",\"allowed_hostnames\":[\"example.com\"]{blocks}}}]}}",
        day("2026-11-22", 1_795_305_600),
        day("2026-11-23", 1_795_392_000),
        day("2026-11-24", 1_795_478_400),
    );
    let mut pipeline = Pipeline::new(Encoded::default(), rules, [1, 2], &PipelineOptions::default());
    pipeline.set_snapshot(Arc::new(Snapshot::from_json(snapshot.as_bytes()).unwrap()));
    pipeline
}

/// CPU time of this thread: what other processes do meanwhile does not count.
fn cpu_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Sends all hits once and returns CPU nanoseconds per hit.
fn round(pipeline: &mut Pipeline<Encoded>, hits: &[&Hit], answer: &mut Vec<u8>, now_ms: i64) -> f64 {
    let started_ns = cpu_ns();
    for (index, hit) in (0_u32..REPEATS).flat_map(|repeat| (repeat..).step_by(REPEATS as usize).zip(hits)) {
        answer.clear();
        let mut headers = HitHeaders {
            user_agent: Some(hit.agent.as_bytes()),
            accept_language: Some(hit.language.as_bytes()),
            ..HitHeaders::default()
        };
        if let Some((brands, mobile, platform)) = &hit.hints {
            headers.sec_ch_ua = Some(brands.as_bytes());
            headers.sec_ch_ua_mobile = Some(mobile.as_bytes());
            headers.sec_ch_ua_platform = Some(platform.as_bytes());
        }
        let request = HitRequest {
            endpoint: hit.endpoint,
            query: hit.query.as_bytes(),
            body: hit.body.as_bytes(),
            headers,
            client: ClientAddress { ip: IpAddr::V4(Ipv4Addr::from(0x5000_0000 + index * 97)) },
            reply: Reply::CLOSE,
        };
        let outcome = pipeline.hit(&request, now_ms, answer);
        assert!(outcome == HitOutcome::Logged && answer.starts_with(b"HTTP/1.1 20"));
    }
    (cpu_ns() - started_ns) as f64 / (hits.len() as f64 * f64::from(REPEATS))
}

fn median(pipeline: &mut Pipeline<Encoded>, hits: &[&Hit], rounds: usize) -> f64 {
    let mut answer = Vec::with_capacity(4_096);
    let mut figures = Vec::new();
    for index in 0..rounds + 2 {
        let (rows, short) = (pipeline.sink_mut().rows, pipeline.sink_mut().short);
        // A minute apart: no rate is reached, and all is the same day.
        let figure = round(pipeline, hits, &mut answer, NOON_MS + index as i64 * 60_000);
        let wanted = hits.iter().filter(|hit| hit.is_row).count() as u64 * u64::from(REPEATS);
        assert_eq!(pipeline.sink_mut().rows - rows, wanted, "rows");
        assert_eq!(pipeline.sink_mut().short - short, hits.len() as u64 * u64::from(REPEATS) - wanted, "short records");
        figures.push(figure);
    }
    let warm = &mut figures[2..];
    warm.sort_by(f64::total_cmp);
    warm[warm.len() / 2]
}

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build measures nothing: use --release");
        std::process::exit(2);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds =
        arguments.iter().position(|argument| argument == "--rounds").map_or(9, |at| arguments[at + 1].parse().unwrap());
    let pack =
        arguments.first().filter(|argument| !argument.starts_with("--")).map_or("rust_ext/rules.pack", String::as_str);
    let rules = Rules::open(Path::new(pack)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let hits: Vec<Hit> = (0..HITS).map(|_| hit(&mut random)).collect();
    let blocks = if arguments.iter().any(|argument| argument == "--blocks") { blocks() } else { String::new() };
    let mut pipeline = pipeline(rules, &blocks);
    let kind_of = |hit: &Hit| match hit.endpoint {
        Endpoint::Send => "umami",
        Endpoint::Gif => "gif",
        _ if !hit.is_row => "dropped",
        _ => ["pageview", "engagement", "vitals", "timings"]
            .into_iter()
            .find(|name| hit.body.starts_with(&format!("{{\"n\":\"{name}\"")))
            .unwrap_or("custom"),
    };
    let all: Vec<&Hit> = hits.iter().collect();
    let whole = median(&mut pipeline, &all, rounds);
    println!("{{\"name\":\"record_us\",\"ours\":{:.3},\"unit\":\"us\",\"hits\":{HITS}}}", whole / 1_000.0);
    for kind in ["pageview", "engagement", "vitals", "timings", "custom", "umami", "gif", "dropped"] {
        let some: Vec<&Hit> = hits.iter().filter(|hit| kind_of(hit) == kind).collect();
        let figure = median(&mut pipeline, &some, rounds);
        println!(
            "{{\"name\":\"record_us_{kind}\",\"ours\":{:.3},\"unit\":\"us\",\"hits\":{}}}",
            figure / 1_000.0,
            some.len()
        );
    }
}
