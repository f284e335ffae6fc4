//! Whatever the body, the query and the headers of a hit are:
//!
//! * it is answered with one complete HTTP answer, and never with a 5xx;
//! * it leaves at least one record, and every record can be read back;
//! * no query string or fragment mark gets into a stored path or referrer, except hash routing's own `#`;
//! * no row of the site with blocked paths has one of them;
//! * a server batch of the same bytes leaves exactly the records that its report counts.
//!
//! The first input byte chooses the endpoint; a second one the headers; the rest is body and query alike.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use footfall_ingest::http::{ClientAddress, Endpoint, HitHandler, HitHeaders, HitOutcome, HitRequest, Reply};
use footfall_ingest::pipeline::{Pipeline, PipelineOptions, RecordSink};
use footfall_ingest::record::{self, HitRecord, ShortRecord, StringField};
use footfall_ingest::rules::Rules;
use footfall_ingest::snapshot::Snapshot;
use libfuzzer_sys::fuzz_target;

const NOON_MS: i64 = 1_795_435_200_000;
const SNAPSHOT: &[u8] = br#"{"version":1,"shards":3,
    "timezones":[{"name":"UTC","days":[[1795305600,"2026-11-22"],[1795392000,"2026-11-23"]]}],
    "salts":{"2026-11-23":"000102030405060708090a0b0c0d0e0f"},
    "sites":[{"site_id":1,"public_id":"6f2c8f0e-0a3b-4c55-9d3e-1a2b3c4d5e6f","domain":"a.test","timezone":0,"account_id":1,
              "state":"active","drop_bot_mask":0},
             {"site_id":2,"public_id":"00000000-0000-4000-8000-000000000002","domain":"b.test","timezone":0,"account_id":1,
              "state":"active","drop_bot_mask":0,"blocked_networks":["192.0.2.0/24","2001:db8::/32"],
              "blocked_countries":["DE"],"blocked_paths":["/a","/a*/b**c","**.php"]}]}"#;

#[derive(Default)]
struct Checked {
    records: u64,
    bytes: Vec<u8>,
}

impl RecordSink for Checked {
    fn room(&self) -> bool {
        true
    }

    fn append_hit(&mut self, shard: u32, record: &HitRecord<'_>) {
        assert!(shard < 3);
        let text = |field: StringField| record.strings[field as usize];
        assert!(text(StringField::Path).starts_with('/') && !text(StringField::Path).contains('?'));
        assert!(!text(StringField::Referrer).contains(['?', '#']));
        assert!(record.site_id == 1 || !text(StringField::Path).ends_with(".php"));
        self.bytes.clear();
        record::encode_hit(record, &mut self.bytes);
        record::check(&self.bytes).expect("a record that can be read back");
        self.records += 1;
    }

    fn append_short(&mut self, record: &ShortRecord) {
        self.bytes.clear();
        record::encode_short(record, &mut self.bytes);
        record::check(&self.bytes).expect("a short record that can be read back");
        self.records += 1;
    }
}

thread_local! {
    static PIPELINE: RefCell<Pipeline<Checked>> = RefCell::new({
        let options = PipelineOptions { agent_cache_entries: 64, rate_sets: 16 };
        let mut pipeline = Pipeline::new(Checked::default(), Rules::empty(), [1, 2], &options);
        pipeline.set_snapshot(Arc::new(Snapshot::from_json(SNAPSHOT).expect("a good snapshot")));
        pipeline
    });
}

fuzz_target!(|input: &[u8]| {
    let [endpoint, header, text @ ..] = input else { return };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    PIPELINE.with_borrow_mut(|pipeline| {
        let before = pipeline.sink_mut().records;
        let mut answer = Vec::new();
        let header = |bit: u8| (header & bit != 0).then_some(text);
        let request = HitRequest {
            endpoint: Endpoint::ALL[usize::from(*endpoint) % Endpoint::ALL.len()],
            query: text,
            body: text,
            headers: HitHeaders {
                user_agent: header(1),
                referer: header(2),
                accept_language: header(4),
                purpose: header(8),
                sec_ch_ua: header(16),
                ..HitHeaders::default()
            },
            client: ClientAddress { ip: address },
            reply: Reply::CLOSE,
        };
        assert_eq!(pipeline.hit(&request, NOON_MS, &mut answer), HitOutcome::Logged);
        assert!(answer.starts_with(b"HTTP/1.1 2") || answer.starts_with(b"HTTP/1.1 4"));
        assert!(answer.windows(4).any(|window| window == b"\r\n\r\n"));
        let after = pipeline.sink_mut().records;
        assert!(after > before, "an answered hit leaves a record");

        let report = pipeline.batch(text, 1, address, NOON_MS);
        let counted: u64 = report.outcomes.values().sum();
        assert_eq!(pipeline.sink_mut().records - after, counted, "the report counts every record");
    });
});
