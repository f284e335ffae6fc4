//! Invariant: a scan never panics, and accounts for every byte once, whatever the bytes. In a segment of our own in which
//! single bytes of some frames were flipped, every untouched record is found, every touched one is lost, and the counts
//! say so; a cut adds a torn tail and nothing else.
//!
//! First byte even: the rest is the segment. Odd: the rest is a recipe: records, then flips, then a cut. At most one flip per frame
//! (and one in the header): CRC32C finds each of those, while for more the fuzzer could forge a checksum.
#![no_main]
use std::collections::BTreeSet;

use footfall_ingest::drop_reason::Outcome;
use footfall_ingest::record::{
    Channel, Device, EventKind, HitRecord, STRING_FIELDS, ShortRecord, check, decode, encode_hit, encode_short,
};
use footfall_ingest::recovery::scan;
use footfall_ingest::segment::{
    FRAME_HEADER_BYTES, FrameCrc, HEADER_BYTES, SegmentHeader, SegmentId, SegmentKey, append_frame, seal_frames,
};
use libfuzzer_sys::fuzz_target;

const HEADER: SegmentHeader = SegmentHeader {
    id: SegmentId(*b"a segment to try"),
    key: SegmentKey { shard: 1, month: 202_611, retention_class: 2 },
    created_at_ms: 1_795_426_458_123,
};

/// Takes bytes off the recipe; an empty one gives zeros.
struct Recipe<'a>(&'a [u8]);

impl<'a> Recipe<'a> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().map_or((0, self.0), |(byte, rest)| (*byte, rest));
        self.0 = rest;
        byte
    }

    fn text(&mut self) -> &'a str {
        let length = usize::from(self.byte() % 32).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }
}

/// A segment's bytes and where its frames start.
fn segment(recipe: &mut Recipe<'_>) -> (Vec<u8>, Vec<usize>) {
    let (mut arena, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..recipe.byte() % 24 {
        starts.push(HEADER_BYTES + arena.len());
        append_frame(&mut arena, |out| {
            if recipe.byte() % 2 == 0 {
                let outcome = Outcome::ALL[1 + usize::from(recipe.byte()) % (Outcome::ALL.len() - 1)];
                encode_short(&ShortRecord { outcome, bot_reasons: 1, site_id: 2, time_ms: 3 }, out);
            } else {
                let mut strings = [""; STRING_FIELDS];
                for _ in 0..3 {
                    strings[usize::from(recipe.byte()) % STRING_FIELDS] = recipe.text();
                }
                let hit = HitRecord {
                    kind: EventKind::Pageview,
                    bot_reasons: 0,
                    site_id: 1,
                    time_ms: 2,
                    visitor_id: 3,
                    load_id: 4,
                    engaged_ms: 5,
                    screen_width_px: 6,
                    screen_height_px: 7,
                    sample_weight: 1,
                    device: Device::Desktop,
                    channel: Channel::Direct,
                    scroll_depth_percent: None,
                    interactive: true,
                    retention_class: 2,
                    sequence: 0,
                    revenue_micros: 0,
                    strings,
                    props: &[(recipe.text(), recipe.text())],
                    metrics: &[],
                };
                encode_hit(&hit, out);
            }
        });
    }
    seal_frames(&mut arena, FrameCrc::new(HEADER.id), 0);
    ([&HEADER.encode()[..], &arena].concat(), starts)
}

/// Header, valid frames, damaged ranges and torn tail cover the bytes once each.
fn assert_accounted(bytes: &[u8]) {
    let scan = scan(bytes);
    let mut spans = vec![(bytes.len() - scan.torn_tail_bytes, bytes.len())];
    if scan.header.is_some() {
        spans.push((0, HEADER_BYTES));
    }
    for (offset, length) in scan.offsets.iter().zip(&scan.lengths) {
        let (start, end) = (*offset as usize, (*offset + *length) as usize);
        assert!(decode(&bytes[start..end]).is_ok());
        spans.push((start - FRAME_HEADER_BYTES, end));
    }
    spans.extend(scan.damaged.iter().map(|range| (range.start, range.end)));
    spans.sort_unstable();
    let mut covered = 0;
    for (start, end) in spans {
        assert_eq!(start, covered, "a gap or an overlap");
        covered = end;
    }
    assert_eq!(covered, bytes.len());
}

fn assert_damage_is_local(recipe: &mut Recipe<'_>) {
    let (mut bytes, starts) = segment(recipe);
    let mut touched = BTreeSet::new();
    let mut is_header_touched = false;
    for _ in 0..recipe.byte() % 8 {
        let at = usize::from(u16::from_le_bytes([recipe.byte(), recipe.byte()])) % bytes.len();
        let flip = recipe.byte().max(1);
        let is_new = match starts.iter().rposition(|start| *start <= at) {
            Some(frame) => touched.insert(frame),
            None => !std::mem::replace(&mut is_header_touched, true),
        };
        if is_new {
            bytes[at] ^= flip;
        }
    }
    assert_accounted(&bytes);
    let found = scan(&bytes);
    assert_eq!(found.header, Some(HEADER));
    let untouched = |frames: usize| (0..frames).filter(|frame| !touched.contains(frame));
    let offset = |frame: usize| (starts[frame] + FRAME_HEADER_BYTES) as u32;
    assert_eq!(found.offsets, untouched(starts.len()).map(offset).collect::<Vec<_>>());
    if touched.last().is_none_or(|last| last + 1 < starts.len()) {
        // Behind the last survivor the count is a floor: a flipped mark hides a record from it.
        assert_eq!(found.lost_records, touched.len() as u64);
        assert_eq!(found.torn_tail_bytes, 0);
    }

    let cut = usize::from(u16::from_le_bytes([recipe.byte(), recipe.byte()])) % (bytes.len() + 1);
    let cut_bytes = &bytes[..cut];
    assert_accounted(cut_bytes);
    if cut >= HEADER_BYTES {
        let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
        let whole = ends.take(starts.len()).filter(|end| *end <= cut).count();
        assert_eq!(scan(cut_bytes).offsets, untouched(whole).map(offset).collect::<Vec<_>>());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    assert_eq!(check(rest).is_ok(), decode(rest).is_ok());
    if kind % 2 == 0 {
        assert_accounted(rest);
    } else {
        assert_damage_is_local(&mut Recipe(rest));
    }
});
