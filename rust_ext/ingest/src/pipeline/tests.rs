#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation)]
//! One hit through the whole pipeline, per endpoint and per outcome; a test fails when an outcome is never produced.
use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::http::{Connection, HttpSettings, PeerAddress};
use crate::record::{EventKind, StringField};

/// Monday 2026-11-23 12:00:00 UTC.
const NOON_MS: i64 = 1_795_435_200_000;
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36";
const PUBLIC_ID: &str = "6f2c8f0e-0a3b-4c55-9d3e-1a2b3c4d5e6f";

/// What the tests look at of a record.
#[derive(Debug, Clone, Default)]
struct Row {
    site_id: u32,
    kind: Option<EventKind>,
    strings: Vec<String>,
    props: Vec<(String, String)>,
    metrics: usize,
    visitor_id: u64,
    time_ms: i64,
    weight: u16,
}

#[derive(Default)]
struct Kept {
    rows: Vec<Row>,
    short: Vec<ShortRecord>,
    is_full: bool,
}

impl RecordSink for Kept {
    fn room(&self) -> bool {
        !self.is_full
    }

    fn append_hit(&mut self, _: u32, record: &HitRecord<'_>) {
        self.rows.push(Row {
            site_id: record.site_id,
            kind: Some(record.kind),
            strings: record.strings.iter().map(|text| (*text).to_owned()).collect(),
            props: record.props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            metrics: record.metrics.len(),
            visitor_id: record.visitor_id,
            time_ms: record.time_ms,
            weight: record.sample_weight,
        });
    }

    fn append_short(&mut self, record: &ShortRecord) {
        self.short.push(*record);
    }
}

fn site(id: u32, domain: &str, extra: &str) -> String {
    let public_id = if id == 1 { PUBLIC_ID.to_owned() } else { format!("00000000-0000-4000-8000-{id:012}") };
    let defaults = [
        ("\"state\"", "\"active\""),
        ("\"allowed_hostnames\"", "[]"),
        ("\"rate_per_second\"", "null"),
        ("\"sample_every\"", "1"),
        ("\"drop_bot_mask\"", "65535"),
    ];
    let mut text = format!(
        "{{\"site_id\":{id},\"public_id\":\"{public_id}\",\"domain\":\"{domain}\",\"account_id\":{},\"timezone\":0,\"retention_class\":1,\"spam_filter\":true",
        if id == 9 { 2 } else { 1 }
    );
    for (key, value) in defaults {
        if !extra.contains(key) {
            text.push_str(&format!(",{key}:{value}"));
        }
    }
    format!("{text}{extra}}}")
}

fn snapshot() -> Arc<Snapshot> {
    let sites = [
        site(1, "example.com", ""),
        site(2, "blocked.example", ",\"state\":\"blocked\""),
        site(3, "depleted.example", ",\"state\":\"depleted\""),
        site(4, "strict.example", ",\"allowed_hostnames\":[\"strict.example\",\"*.strict.example\"]"),
        site(5, "busy.example", ",\"rate_per_second\":1"),
        site(6, "sampled.example", ",\"sample_every\":65535"),
        site(7, "second.example", ""),
        site(8, "lenient.example", ",\"drop_bot_mask\":0"),
        site(9, "other-account.example", ""),
        site(10, "office.example", ",\"blocked_networks\":[\"203.0.113.0/28\"]"),
        site(11, "abroad.example", ",\"blocked_countries\":[\"XA\"]"),
        site(12, "admin.example", ",\"blocked_paths\":[\"/admin**\"]"),
        site(13, "leaving.example", ",\"state\":\"deleting\""),
        site(14, "crowded.example", ",\"rate_per_second\":1,\"blocked_networks\":[\"203.0.113.9\"]"),
    ]
    .join(",");
    let json = format!(
        "{{\"version\":3,\"generated_at_ms\":0,\"shards\":2,\"timezones\":[{{\"name\":\"UTC\",\"days\":[[1795305600,\"2026-11-22\"],[1795392000,\"2026-11-23\"],[1795478400,\"2026-11-24\"]]}}],\"salts\":{{\"2026-11-23\":\"000102030405060708090a0b0c0d0e0f\"}},\"sites\":[{sites}],\"limits\":{{}},\"api_keys\":[]}}"
    );
    Arc::new(Snapshot::from_json(json.as_bytes()).unwrap())
}

fn pipeline() -> Pipeline<Kept> {
    let options = PipelineOptions { agent_cache_entries: 64, rate_sets: 16 };
    let rules = Rules::of_referrers(&[["t.co", "Twitter", "social"]], &["spam.example"]).unwrap();
    let mut pipeline = Pipeline::new(Kept::default(), rules, [1, 2], &options);
    pipeline.set_snapshot(snapshot());
    pipeline
}

fn request(method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: t\r\nUser-Agent: {CHROME}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends one request through a real connection and returns its answer.
fn send(pipeline: &mut Pipeline<Kept>, bytes: &[u8]) -> String {
    let peer = PeerAddress::parse("203.0.113.9", 1).unwrap();
    let mut connection = Connection::new(Arc::new(HttpSettings::default()), peer, NOON_MS);
    let progress = connection.feed(bytes, NOON_MS, pipeline);
    if progress.logged_hits > 0 {
        connection.mark_group(1);
    }
    let mut out = Vec::new();
    connection.release(1, true, NOON_MS, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn event(pipeline: &mut Pipeline<Kept>, body: &str) -> String {
    send(pipeline, &request("POST", "/api/event", "", body))
}

fn text(row: &Row, field: StringField) -> &str {
    &row.strings[field as usize]
}

#[test]
fn a_page_view_becomes_a_row() {
    let mut pipeline = pipeline();
    let url = "https://www.Example.com/a?utm_source=news&utm_medium=email&token=secret&gclid=1#top";
    let body = format!(
        "{{\"n\":\"pageview\",\"u\":\"{url}\",\"d\":\"example.com\",\"r\":\"https://t.co/x?q=1\",\"sw\":1280,\"p\":{{\"a\":\"b\"}}}}"
    );
    let answer = send(&mut pipeline, &request("POST", "/api/event", "Accept-Language: de-DE,de;q=0.9\r\n", &body));
    assert!(answer.starts_with("HTTP/1.1 202") && answer.ends_with("\r\n\r\nok"), "{answer}");
    let row = pipeline.sink_mut().rows.pop().unwrap();
    assert_eq!((row.site_id, row.kind, row.time_ms), (1, Some(EventKind::Pageview), NOON_MS));
    assert_eq!((text(&row, StringField::Hostname), text(&row, StringField::Path)), ("example.com", "/a"));
    assert_eq!((text(&row, StringField::Referrer), text(&row, StringField::ReferrerSource)), ("t.co/x", "news"));
    assert_eq!((text(&row, StringField::UtmMedium), text(&row, StringField::ClickId)), ("email", "gclid"));
    assert_eq!((text(&row, StringField::Browser), text(&row, StringField::Language)), ("Chrome", "de-DE"));
    assert_eq!(row.props, [("a".to_owned(), "b".to_owned())]);
    assert!(!row.strings.iter().any(|text| text.contains("secret") || text.contains("203.0.113")));
    assert_ne!(row.visitor_id, 0);
}

#[test]
fn every_outcome_is_produced_and_named() {
    let mut pipeline = pipeline();
    let page = |domain: &str| format!("{{\"n\":\"pageview\",\"u\":\"https://{domain}/\",\"d\":\"{domain}\"}}");
    let long_name = "x".repeat(121);
    let cases: Vec<(Vec<u8>, Option<Outcome>)> = [
        ("", page("example.com"), Outcome::Accepted),
        ("", page("nobody.example"), Outcome::UnknownSite),
        ("", page("blocked.example"), Outcome::Blocked),
        ("", page("leaving.example"), Outcome::Blocked),
        ("", page("depleted.example"), Outcome::Capacity),
        ("", page("office.example"), Outcome::BlockedNetwork),
        ("", page("abroad.example"), Outcome::BlockedCountry),
        ("", page("admin.example"), Outcome::Accepted),
        ("", page("admin.example").replace("example/\"", "example/admin/users?x\""), Outcome::BlockedPath),
        ("", page("strict.example").replace("https://strict", "https://evil"), Outcome::Hostname),
        ("", page("sampled.example"), Outcome::Sampled),
        ("Sec-Purpose: prefetch;prerender\r\n", page("example.com"), Outcome::Prefetch),
        ("", page("example.com").replace('}', ",\"wd\":1}"), Outcome::Bot),
        ("", page("example.com").replace('}', ",\"r\":\"https://buy.spam.example/now\"}"), Outcome::ReferrerSpam),
        ("", "{".to_owned(), Outcome::Json),
        ("", "[]".to_owned(), Outcome::Json),
        ("", page("example.com").replace("\"pageview\"", "[]"), Outcome::FieldType),
        ("", "{\"n\":\"pageview\",\"d\":\"example.com\"}".to_owned(), Outcome::FieldMissing),
        ("", page("example.com").replace("pageview", &long_name), Outcome::FieldTooLong),
        ("", page("example.com").replace("https://example.com/", "data:text/plain,x"), Outcome::Url),
        ("", page("example.com").replace('}', ",\"q\":70000}"), Outcome::FieldRange),
    ]
    .into_iter()
    .map(|(headers, body, outcome)| (request("POST", "/api/event", headers, &body), Some(outcome)))
    .chain([
        (request("POST", "/api/event", "", &"x".repeat(300_000)), Some(Outcome::BodyTooLarge)),
        (
            request("POST", "/api/send", "", &format!("{{\"type\":\"identify\",\"payload\":{{\"website\":\"{PUBLIC_ID}\",\"hostname\":\"a.b\",\"url\":\"/\"}}}}")),
            Some(Outcome::Unsupported),
        ),
    ])
    .collect();
    let mut seen = BTreeSet::new();
    for (bytes, wanted) in cases {
        let before = pipeline.counts.clone();
        let answer = send(&mut pipeline, &bytes);
        let got: Vec<Outcome> =
            Outcome::ALL.into_iter().filter(|outcome| pipeline.counts.of(*outcome) > before.of(*outcome)).collect();
        assert_eq!(got, wanted.into_iter().collect::<Vec<_>>(), "{answer}");
        seen.extend(got.iter().copied());
        let outcome = got[0];
        if outcome.is_dropped() && outcome != Outcome::Unsupported {
            assert!(
                answer.starts_with("HTTP/1.1 202")
                    && answer.contains(&format!("X-Footfall-Dropped: {}", outcome.label())),
                "{answer}"
            );
            assert!(answer.contains("X-Plausible-Dropped: 1"), "{answer}");
        } else if outcome.is_rejected() {
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    for _ in 0..4 {
        event(&mut pipeline, &page("busy.example"));
    }
    assert!(pipeline.counts.of(Outcome::Rate) > 0);
    let old =
        format!("{{\"n\":\"pageview\",\"u\":\"https://example.com/\",\"timestamp\":{}}}", (NOON_MS - OLD_MS) / 1_000);
    let report = pipeline.batch(old.as_bytes(), 1, "203.0.113.1".parse().unwrap(), NOON_MS);
    assert_eq!(report.outcomes.get("timestamp"), Some(&1));
    seen.extend([Outcome::Rate, Outcome::Timestamp]);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), Outcome::ALL);
    let records = pipeline.sink.rows.len() + pipeline.sink.short.len();
    let counted: u64 = pipeline.outcome_counts().map(|(_, count)| count).sum();
    assert_eq!(records as u64, counted, "each answered hit leaves a record");
}

#[test]
fn who_is_kept_out_by_address_does_not_use_up_the_sites_rate() {
    let mut pipeline = pipeline();
    let hit = "{\"n\":\"pageview\",\"u\":\"https://crowded.example/\"}";
    for _ in 0..20 {
        assert!(event(&mut pipeline, hit).contains("X-Footfall-Dropped: blocked_network"));
    }
    let from_elsewhere = hit.replace('}', ",\"ip\":\"198.51.100.7\"}");
    let report = pipeline.batch(from_elsewhere.as_bytes(), 1, "203.0.113.9".parse().unwrap(), NOON_MS);
    assert_eq!(report.outcomes.get("accepted"), Some(&1), "blocked is the visitor's address, not the server's");
    assert_eq!(pipeline.counts.of(Outcome::Rate), 0);
}

const OLD_MS: i64 = 8 * 24 * 3_600 * 1_000;

#[test]
fn several_sites_are_several_records() {
    let mut pipeline = pipeline();
    let answer = event(
        &mut pipeline,
        "{\"n\":\"Sale\",\"u\":\"https://example.com/\",\"d\":\"example.com, second.example,nobody.example\"}",
    );
    assert!(answer.contains("X-Footfall-Dropped: unknown_site") && answer.contains("X-Plausible-Dropped: 1"));
    let rows = &pipeline.sink.rows;
    assert_eq!(rows.iter().map(|row| row.site_id).collect::<Vec<_>>(), [1, 7]);
    assert_ne!(rows[0].visitor_id, rows[1].visitor_id, "visitors cannot be linked across sites");
    assert_eq!(text(&rows[0], StringField::EventName), "Sale");
}

#[test]
fn the_older_plausible_tracker_sends_its_width_as_a_number() {
    let mut pipeline = pipeline();
    let body = "{\"n\":\"pageview\",\"u\":\"https://example.com/\",\"d\":\"example.com\",\"r\":null,\"w\":1280,\"h\":0,\"p\":\"{}\"}";
    assert!(event(&mut pipeline, body).starts_with("HTTP/1.1 202"));
    assert_eq!(pipeline.sink.rows.len(), 1);
}

#[test]
fn a_lenient_site_keeps_bots_with_their_reasons() {
    let mut pipeline = pipeline();
    event(&mut pipeline, "{\"n\":\"pageview\",\"u\":\"https://lenient.example/\",\"wd\":1}");
    assert_eq!((pipeline.sink.rows.len(), pipeline.sink.rows[0].weight), (1, 1));
}

#[test]
fn without_snapshot_or_room_the_answer_is_503_and_nothing_is_logged() {
    let mut empty = Pipeline::new(Kept::default(), Rules::empty(), [1, 2], &PipelineOptions::default());
    let page = "{\"n\":\"pageview\",\"u\":\"https://example.com/\"}";
    assert!(event(&mut empty, page).starts_with("HTTP/1.1 503"));
    let mut full = pipeline();
    full.sink_mut().is_full = true;
    let answer = event(&mut full, page);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: "), "{answer}");
    assert_eq!((full.sink.short.len(), full.unavailable_count(), empty.unavailable_count()), (0, 1, 1));
}

#[test]
fn umami_clients_get_what_they_expect() {
    let mut pipeline = pipeline();
    let message = |kind: &str, extra: &str| {
        format!(
            "{{\"type\":\"{kind}\",\"payload\":{{\"website\":\"{PUBLIC_ID}\",\"hostname\":\"example.com\",\"url\":\"/a?x=1\",\"screen\":\"800x600\",\"language\":\"en-US\"{extra}}}}}"
        )
    };
    let post = |pipeline: &mut Pipeline<Kept>, body: &str| send(pipeline, &request("POST", "/api/send", "", body));
    let answer = post(&mut pipeline, &message("event", ""));
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert!(body["sessionId"].is_string() && body["visitId"].is_string() && body["cache"].is_string(), "{answer}");
    post(&mut pipeline, &message("event", ",\"name\":\"signup\",\"data\":{\"plan\":\"pro\"}"));
    post(&mut pipeline, &message("performance", ",\"lcp\":1200.5,\"cls\":0.01"));
    let kinds: Vec<_> = pipeline.sink.rows.iter().map(|row| row.kind.unwrap()).collect();
    assert_eq!(kinds, [EventKind::Pageview, EventKind::Custom, EventKind::Vitals]);
    assert_eq!(pipeline.sink.rows[2].metrics, 2);
    let depleted = message("event", "").replace(PUBLIC_ID, "00000000-0000-4000-8000-000000000003");
    assert!(post(&mut pipeline, &depleted).ends_with("{\"disabled\":true}"));
    let rejected = post(&mut pipeline, "{\"type\":\"event\",\"payload\":{}}");
    assert!(rejected.starts_with("HTTP/1.1 400") && rejected.contains("\"status\":400"), "{rejected}");
    let batch = format!("[{},{{}},{}]", message("event", ""), message("event", ",\"name\":\"x\""));
    let answer = send(&mut pipeline, &request("POST", "/api/batch", "", &batch));
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["size"], &body["processed"], &body["errors"]), (&3.into(), &2.into(), &1.into()));
    assert_eq!(body["details"][0]["index"], 1);
    assert!(send(&mut pipeline, &request("POST", "/api/batch", "", "{}")).starts_with("HTTP/1.1 400"));
}

#[test]
fn the_gif_counts_and_says_why_not() {
    let mut pipeline = pipeline();
    let answer = send(&mut pipeline, &request("GET", "/hit.gif?d=example.com&p=/mail", "", ""));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(text(&pipeline.sink.rows[0], StringField::Path), "/mail");
    let answer = send(&mut pipeline, &request("GET", "/hit.gif?d=nobody.example&p=/", "", ""));
    assert!(answer.contains("X-Footfall-Dropped: unknown_site"), "{answer}");
}

#[test]
fn a_server_batch_counts_each_event_and_names_the_wrong_ones() {
    let mut pipeline = pipeline();
    let good = "{\"n\":\"pageview\",\"u\":\"https://example.com/\",\"timestamp\":\"2026-11-22T10:00:00Z\",\"ip\":\"198.51.100.7\"}";
    let foreign = "{\"n\":\"pageview\",\"u\":\"https://other-account.example/\"}";
    let address = "203.0.113.1".parse().unwrap();
    for body in [format!("[{good},{foreign},{{\"n\":1}}]"), format!("{good}\n{foreign}\r\n\n{{\"n\":1}}\n")] {
        let report = pipeline.batch(body.as_bytes(), 1, address, NOON_MS);
        assert!(report.is_logged());
        assert_eq!(report.outcomes.get("accepted"), Some(&1), "{report:?}");
        assert_eq!(report.outcomes.get("unknown_site"), Some(&1), "another account's site");
        assert_eq!((report.errors.len(), report.errors[0].index), (1, 2));
    }
    assert_eq!(pipeline.sink.rows[0].time_ms, NOON_MS - 26 * 3_600 * 1_000);
    for body in ["", "[", "[1,", "nothing"] {
        let report = pipeline.batch(body.as_bytes(), 1, address, NOON_MS);
        assert!(report.refused.is_some() || report.errors.len() == 1, "{body}: {report:?}");
    }
    let many = vec![good; 10_001].join("\n");
    assert!(!pipeline.batch(many.as_bytes(), 1, address, NOON_MS).is_logged());
}

#[test]
fn a_debug_request_shows_the_address_and_logs_nothing() {
    let mut pipeline = pipeline();
    let answer = send(&mut pipeline, &request("POST", "/api/event", "X-Debug-Request: true\r\n", "{}"));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"ip\":\"203.0.113.9\"}"), "{answer}");
    assert!(pipeline.sink.short.is_empty());
}
