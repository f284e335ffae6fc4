//! Steps of a hit's way that nothing public does alone, for `bench/micro`, which times them beside their peers.
//!
//! ```text
//! cargo run --release -p footfall-ingest --example steps -- FOLDER
//! ```
//!
//! FOLDER holds `bodies.ndjson` (one event a line), `agents.txt` (one a line) and `segment.seg`, a whole segment. Each line
//! of standard input, `STEP ROUNDS`, is answered by `ITEMS CPU_NS`: how many items all rounds did, and this thread's CPU
//! time meanwhile. Steps:
//!
//! * `payload`: every body decoded into its fields; each must be sound.
//! * `visitor`: the visitor id of every agent, each from its own address; all ids xored must be the same in each round.
//! * `append`: the segment's records encoded, framed, numbered and checksummed again; the bytes must be the segment's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::panic)]
#![allow(missing_docs)]

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use footfall_ingest::payload::event::{self, Sender};
use footfall_ingest::payload::{HitFields, PayloadLimits};
use footfall_ingest::record::{self, HitRecord, HitView, Record};
use footfall_ingest::recovery;
use footfall_ingest::scratch::Scratch;
use footfall_ingest::segment::{FrameCrc, HEADER_BYTES, append_frame, seal_frames};
use footfall_ingest::visitor::{Salt, VisitorKey, visitor_id};

/// More than the texts of any body need.
const SCRATCH_BYTES: usize = 64 * 1024;

fn decode_all(bodies: &[String], space: &mut [u8]) -> usize {
    let limits = PayloadLimits::default();
    for body in bodies {
        let mut scratch = Scratch::new(space);
        let mut fields = HitFields::default();
        let decoded = event::decode(black_box(body), Sender::Client, &limits, &mut scratch, &mut fields);
        assert!(decoded.is_ok(), "{body}");
        black_box(&fields);
    }
    bodies.len()
}

fn visitors(agents: &[String], key: &VisitorKey) -> u64 {
    agents.iter().zip(0_u32..).fold(0, |sum, (agent, index)| {
        let address = IpAddr::V4(Ipv4Addr::from(0x5000_0000 + index));
        sum ^ visitor_id(key, 1, black_box(address), black_box(agent.as_bytes()))
    })
}

fn hit_record<'a>(view: &'a HitView<'a>) -> HitRecord<'a> {
    HitRecord {
        kind: view.kind,
        bot_reasons: view.bot_reasons,
        site_id: view.site_id,
        time_ms: view.time_ms,
        visitor_id: view.visitor_id,
        load_id: view.load_id,
        engaged_ms: view.engaged_ms,
        screen_width_px: view.screen_width_px,
        screen_height_px: view.screen_height_px,
        sample_weight: view.sample_weight,
        device: view.device,
        channel: view.channel,
        scroll_depth_percent: view.scroll_depth_percent,
        interactive: view.interactive,
        retention_class: view.retention_class,
        sequence: view.sequence,
        revenue_micros: view.revenue_micros,
        strings: view.strings,
        props: &view.props,
        metrics: &view.metrics,
    }
}

fn append_all(records: &[Record<'_>], crc: FrameCrc, arena: &mut Vec<u8>) {
    arena.clear();
    for record in records {
        match black_box(record) {
            Record::Hit(view) => append_frame(arena, |out| record::encode_hit(&hit_record(view), out)),
            Record::Short(short) => append_frame(arena, |out| record::encode_short(short, out)),
        }
    }
    seal_frames(arena, crc, 0);
}

/// CPU time of this thread: what other processes do meanwhile does not count.
fn cpu_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if cfg!(debug_assertions) && !arguments.iter().any(|argument| argument == "--any-build") {
        eprintln!("a debug build measures nothing: use --release");
        std::process::exit(2);
    }
    let folder = Path::new(&arguments[0]);
    let lines = |name: &str| -> Vec<String> {
        std::fs::read_to_string(folder.join(name)).unwrap().lines().map(str::to_owned).collect()
    };
    let (bodies, agents) = (lines("bodies.ndjson"), lines("agents.txt"));
    let segment = std::fs::read(folder.join("segment.seg")).unwrap();
    let scan = recovery::scan(&segment);
    let crc = FrameCrc::new(scan.header.unwrap().id);
    let records: Vec<Record<'_>> = scan
        .offsets
        .iter()
        .zip(&scan.lengths)
        .map(|(&offset, &length)| record::decode(&segment[offset as usize..(offset + length) as usize]).unwrap())
        .collect();
    let key = VisitorKey { salt: Salt::new(std::array::from_fn(|index| index as u8)), foreign_date: None };
    let xored = visitors(&agents, &key);
    let mut space = vec![0; SCRATCH_BYTES];
    let mut arena = Vec::with_capacity(segment.len());
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (step, rounds) = line.split_once(' ').unwrap();
        let rounds: usize = rounds.parse().unwrap();
        let started_ns = cpu_ns();
        let items = match step {
            "payload" => (0..rounds).map(|_| decode_all(&bodies, &mut space)).sum(),
            "visitor" => {
                (0..rounds).for_each(|_| assert_eq!(visitors(&agents, &key), xored));
                rounds * agents.len()
            }
            "append" => {
                (0..rounds).for_each(|_| append_all(&records, crc, &mut arena));
                rounds * records.len()
            }
            _ => panic!("no such step: {step}"),
        };
        let spent_ns = cpu_ns() - started_ns;
        assert!(step != "append" || arena == segment[HEADER_BYTES..], "the records are not the segment's");
        println!("{items} {spent_ns}");
        std::io::stdout().flush().unwrap();
    }
}
