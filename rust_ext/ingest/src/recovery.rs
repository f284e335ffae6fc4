//! Reading a segment back, whatever happened to it.
//!
//! [`scan`] takes any bytes and never fails. What it promises:
//!
//! - Every record that the damage did not touch is found: after a bad frame the scan goes on at the next sync mark
//!   whose frame has a matching CRC and an ordinal that was not seen yet.
//! - The number of lost records is exact wherever a later record survives, because ordinals are explicit. Behind the last
//!   survivor it is the number of sync marks, at least one per damaged range.
//! - A torn tail is the beginning of one frame (or zeros, which a file system may leave after a power cut) at the very
//!   end. In an `.open` file it was never acknowledged; in a sealed one the caller treats it as damage. Nothing is cut off.
//! - One damaged byte in the header costs nothing: CRC32C also says which byte it was (see [`repair_header`]). More than
//!   that, and the id inside every frame's CRC is gone: the whole file is one damaged range.
//! - A frame with a matching CRC whose payload is not a record (written by a faulty or newer build) is a damaged range
//!   too, and counted apart.

use memchr::memmem;

use crate::record;
use crate::segment::{
    FRAME_HEADER_BYTES, FrameCrc, FrameRead, HEADER_BYTES, HeaderError, SYNC_MARK, SegmentHeader, read_frame,
};

/// Bytes of a segment that hold no readable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedRange {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What a segment's bytes hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The header, if it could be read or repaired.
    pub header: Option<SegmentHeader>,
    /// Why the header as it stands could not be read.
    pub header_error: Option<HeaderError>,
    /// Payload offsets of the valid records, in order.
    pub offsets: Vec<u32>,
    /// Payload bytes of the valid records, in the same order.
    pub lengths: Vec<u32>,
    /// Records that were there and cannot be read, the undecodable ones included.
    pub lost_records: u64,
    /// Of the lost: those whose frame is intact but whose payload is not a record.
    pub undecodable_records: u64,
    /// Where the lost records were, ascending, not touching each other.
    pub damaged: Vec<DamagedRange>,
    /// Bytes of an unfinished frame at the end.
    pub torn_tail_bytes: usize,
}

impl Scan {
    /// Adds a damaged range, merged with one that ends where it starts.
    fn damage(&mut self, start: usize, end: usize) {
        match self.damaged.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ if start < end => self.damaged.push(DamagedRange { start, end }),
            _ => {}
        }
    }
}

/// Reads everything that can be read from the bytes of a segment.
#[must_use]
pub fn scan(segment: &[u8]) -> Scan {
    let mut scan = Scan::default();
    // Offsets are u32; a file that long was not written by the spool.
    let segment = segment.get(..u32::MAX as usize).unwrap_or(segment);
    match SegmentHeader::decode(segment) {
        Ok(header) => scan.header = Some(header),
        Err(error) => {
            scan.header_error = Some(error);
            scan.header = repair_header(segment);
        }
    }
    let Some(header) = scan.header else {
        whole_file_damaged(segment, &mut scan);
        return scan;
    };
    let crc = FrameCrc::new(header.id);
    let sync_mark = memmem::Finder::new(&SYNC_MARK);
    let (mut at, mut next_ordinal) = (HEADER_BYTES, 0u64);
    // Start of the bytes that no valid frame covers, while there are any.
    let mut bad_from = None;
    while let Some(rest) = segment.get(at..).filter(|rest| !rest.is_empty()) {
        match read_frame(rest, crc) {
            FrameRead::Whole(frame) if u64::from(frame.ordinal) >= next_ordinal => {
                if let Some(start) = bad_from.take() {
                    scan.damage(start, at);
                }
                scan.lost_records += u64::from(frame.ordinal) - next_ordinal;
                next_ordinal = u64::from(frame.ordinal) + 1;
                let payload_at = at + FRAME_HEADER_BYTES;
                let end = payload_at + frame.payload_bytes as usize;
                let payload = segment.get(payload_at..end).unwrap_or_default();
                match (record::check(payload), u32::try_from(payload_at)) {
                    (Ok(()), Ok(offset)) => {
                        scan.offsets.push(offset);
                        scan.lengths.push(frame.payload_bytes);
                    }
                    _ => {
                        scan.lost_records += 1;
                        scan.undecodable_records += 1;
                        scan.damage(at, end);
                    }
                }
                at = end;
            }
            _ => {
                bad_from.get_or_insert(at);
                let after = rest.get(1..).unwrap_or_default();
                let Some(found) = sync_mark.find(after) else {
                    break;
                };
                at += 1 + found;
            }
        }
    }
    if let Some(start) = bad_from {
        judge_tail(segment, start, crc, &mut scan);
    }
    scan
}

/// Without a header no frame can be checked.
fn whole_file_damaged(segment: &[u8], scan: &mut Scan) {
    if segment.len() < HEADER_BYTES {
        // Not even the header was finished: nothing in it was acknowledged.
        scan.torn_tail_bytes = segment.len();
        return;
    }
    scan.lost_records = memmem::find_iter(segment, &SYNC_MARK).count() as u64;
    scan.damage(0, segment.len());
}

/// Splits the bytes behind the last valid frame into damage and a torn tail.
fn judge_tail(segment: &[u8], start: usize, crc: FrameCrc, scan: &mut Scan) {
    let tail = segment.get(start..).unwrap_or_default();
    let marks: Vec<usize> = memmem::find_iter(tail, &SYNC_MARK).collect();
    let last_mark = marks.last().copied();
    let torn_at = if tail.iter().all(|byte| *byte == 0) {
        0
    } else if let Some(mark) = last_mark.filter(|mark| is_torn(tail.get(*mark..), crc)) {
        mark
    } else if marks.is_empty() && is_torn(Some(tail), crc) {
        // Fewer bytes than a whole sync mark.
        0
    } else {
        tail.len()
    };
    if torn_at > 0 {
        let marks_before = marks.iter().filter(|mark| **mark < torn_at).count() as u64;
        scan.lost_records += marks_before.max(1);
        scan.damage(start, start + torn_at);
    }
    scan.torn_tail_bytes = tail.len() - torn_at;
}

/// Whether `bytes` begin a frame that was not finished, rather than hold a whole one with a damaged length.
fn is_torn(bytes: Option<&[u8]>, crc: FrameCrc) -> bool {
    let Some(bytes) = bytes else { return false };
    if read_frame(bytes, crc) != FrameRead::Torn {
        return false;
    }
    let Some((header, payload)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return true;
    };
    let Ok(payload_bytes) = u32::try_from(payload.len()) else {
        return true;
    };
    let mut fields = [0; 8];
    fields[..4].copy_from_slice(&payload_bytes.to_le_bytes());
    fields[4..].copy_from_slice(&header[8..12]);
    crc.of(&fields, payload).to_le_bytes() != header[12..]
}

/// The header whose one byte was damaged: the only one at a distance of one byte whose CRC matches. It is the only one:
/// CRC32C has another remainder for each damaged byte of 64, as a test shows for all of them.
#[must_use]
pub fn repair_header(segment: &[u8]) -> Option<SegmentHeader> {
    let damaged = segment.first_chunk::<HEADER_BYTES>()?;
    let mut repaired = None;
    for position in 0..HEADER_BYTES {
        let mut candidate = *damaged;
        for flip in 1..=u8::MAX {
            let (Some(byte), Some(original)) = (candidate.get_mut(position), damaged.get(position)) else {
                continue;
            };
            *byte = original ^ flip;
            if let Ok(header) = SegmentHeader::decode(&candidate) {
                if repaired.is_some() {
                    return None;
                }
                repaired = Some(header);
            }
        }
    }
    repaired
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::panic)]
    use super::*;
    use crate::drop_reason::Outcome;
    use crate::record::ShortRecord;
    use crate::segment::{SegmentId, SegmentKey, append_frame, seal_frames};
    use proptest::prelude::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            id: SegmentId(*b"0123456789abcdef"),
            key: SegmentKey { shard: 0, month: 202_611, retention_class: 1 },
            created_at_ms: 1_795_426_458_123,
        }
    }

    /// A segment of `rows` records (hits of growing size, every third a short record) and the start of each frame.
    fn segment(rows: usize) -> (Vec<u8>, Vec<usize>) {
        let mut arena = Vec::new();
        let mut starts = Vec::new();
        for row in 0..rows {
            starts.push(HEADER_BYTES + arena.len());
            append_frame(&mut arena, |out| {
                if row % 3 == 2 {
                    let short = ShortRecord { outcome: Outcome::Bot, bot_reasons: 1, site_id: row as u32, time_ms: 5 };
                    record::encode_short(&short, out);
                } else {
                    let path = "/".repeat(row);
                    let mut hit = record::tests::plain_hit();
                    hit.site_id = row as u32;
                    hit.strings[record::StringField::Path as usize] = &path;
                    out.extend(record::tests::encoded(&hit));
                }
            });
        }
        seal_frames(&mut arena, FrameCrc::new(header().id), 0);
        let mut bytes = header().encode().to_vec();
        bytes.extend(arena);
        (bytes, starts)
    }

    fn payload_starts(starts: &[usize]) -> Vec<u32> {
        starts.iter().map(|start| (start + FRAME_HEADER_BYTES) as u32).collect()
    }

    #[test]
    fn a_sound_segment_is_read_whole() {
        let (bytes, starts) = segment(9);
        let scan = scan(&bytes);
        assert_eq!(scan.header, Some(header()));
        assert_eq!(scan.offsets, payload_starts(&starts));
        for (offset, length) in scan.offsets.iter().zip(&scan.lengths) {
            let payload = &bytes[*offset as usize..(*offset + *length) as usize];
            assert!(record::decode(payload).is_ok());
        }
        assert_eq!((scan.lost_records, scan.damaged.len(), scan.torn_tail_bytes), (0, 0, 0));
    }

    #[test]
    fn cut_at_every_byte_the_whole_records_remain_and_the_rest_is_a_torn_tail() {
        let (bytes, starts) = segment(7);
        for cut in 0..=bytes.len() {
            let scan = scan(&bytes[..cut]);
            let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
            let whole = ends.clone().filter(|end| *end <= cut).count();
            assert_eq!(scan.offsets, payload_starts(&starts[..whole]), "cut at {cut}");
            let kept = if cut < HEADER_BYTES { 0 } else { starts.get(whole).copied().unwrap_or(bytes.len()) };
            assert_eq!(scan.torn_tail_bytes, cut - kept.min(cut), "cut at {cut}");
            assert_eq!((scan.lost_records, scan.damaged.len()), (0, 0), "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_byte_costs_exactly_the_record_it_is_in() {
        let (bytes, starts) = segment(7);
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut flipped = bytes.clone();
                flipped[at] ^= flip;
                let scan = scan(&flipped);
                assert_eq!(scan.header, Some(header()), "byte {at} ^ {flip:#x}");
                let mut expected = payload_starts(&starts);
                let hit = starts.iter().rposition(|start| *start <= at);
                if let Some(hit) = hit {
                    expected.remove(hit);
                    let end = starts.get(hit + 1).copied().unwrap_or(bytes.len());
                    let range = DamagedRange { start: starts[hit], end };
                    assert_eq!(scan.damaged, [range], "byte {at} ^ {flip:#x}");
                } else {
                    assert_eq!(scan.damaged, [], "byte {at} ^ {flip:#x}");
                }
                assert_eq!(scan.offsets, expected, "byte {at} ^ {flip:#x}");
                assert_eq!(scan.lost_records, u64::from(hit.is_some()), "byte {at} ^ {flip:#x}");
                assert_eq!(scan.torn_tail_bytes, 0, "byte {at} ^ {flip:#x}");
                assert_eq!(scan.header_error.is_some(), hit.is_none(), "byte {at} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn every_damaged_header_byte_has_its_own_remainder() {
        let mut remainders = std::collections::BTreeSet::from([0]);
        for position in 0..HEADER_BYTES {
            for flip in 1..=u8::MAX {
                let mut bytes = header().encode();
                bytes[position] ^= flip;
                let stored = u32::from_le_bytes(bytes[60..].try_into().unwrap());
                assert!(remainders.insert(crc32c::crc32c(&bytes[..60]) ^ stored), "{position} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn two_damaged_header_bytes_damage_the_file_and_say_so() {
        let (mut bytes, _) = segment(4);
        bytes[17] ^= 1;
        bytes[40] ^= 1;
        let scan = scan(&bytes);
        assert_eq!((scan.header, scan.header_error), (None, Some(HeaderError::Crc)));
        assert_eq!(scan.damaged, [DamagedRange { start: 0, end: bytes.len() }]);
        assert_eq!((scan.lost_records, scan.offsets.len()), (4, 0));
    }

    #[test]
    fn a_hole_counts_its_records_by_their_ordinals() {
        let (mut bytes, starts) = segment(10);
        bytes[starts[2] + 3..starts[6] + 3].fill(0);
        let scan = scan(&bytes);
        assert_eq!(scan.lost_records, 5);
        assert_eq!(scan.damaged, [DamagedRange { start: starts[2], end: starts[7] }]);
        assert_eq!(scan.offsets.len(), 5);
        let (bytes, starts) = segment(10);
        let removed = [&bytes[..starts[4]], &bytes[starts[6]..]].concat();
        let scan = super::scan(&removed);
        assert_eq!((scan.lost_records, scan.damaged.len(), scan.offsets.len()), (2, 0, 8));
    }

    #[test]
    fn zeros_at_the_end_are_a_torn_tail() {
        let (mut bytes, _) = segment(3);
        bytes.extend([0; 4096]);
        let scan = scan(&bytes);
        assert_eq!((scan.offsets.len(), scan.lost_records, scan.torn_tail_bytes), (3, 0, 4096));
    }

    #[test]
    fn a_damaged_record_before_a_torn_one_is_still_counted() {
        let (mut bytes, starts) = segment(6);
        bytes.truncate(bytes.len() - 3);
        bytes[starts[4] + 40] ^= 1;
        let scan = scan(&bytes);
        assert_eq!((scan.offsets.len(), scan.lost_records), (4, 1));
        assert_eq!(scan.damaged, [DamagedRange { start: starts[4], end: starts[5] }]);
        assert_eq!(scan.torn_tail_bytes, bytes.len() - starts[5]);
    }

    #[test]
    fn an_intact_frame_without_a_record_is_reported() {
        let mut arena = Vec::new();
        for payload in [&b"\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..], b"\x07?", b""] {
            append_frame(&mut arena, |out| out.extend_from_slice(payload));
        }
        seal_frames(&mut arena, FrameCrc::new(header().id), 0);
        let bytes = [header().encode().to_vec(), arena].concat();
        let scan = scan(&bytes);
        assert_eq!(scan.offsets, [80]);
        assert_eq!((scan.lost_records, scan.undecodable_records), (2, 2));
        assert_eq!(scan.damaged, [DamagedRange { start: 96, end: bytes.len() }]);
    }

    #[test]
    fn a_stale_frame_does_not_count_twice() {
        let (bytes, starts) = segment(4);
        let stale = [&bytes[..], &bytes[starts[1]..starts[2]]].concat();
        let scan = scan(&stale);
        assert_eq!(scan.offsets.len(), 4);
        assert_eq!(scan.damaged, [DamagedRange { start: bytes.len(), end: stale.len() }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned_and_every_byte_is_accounted_for(
            rows in 0usize..12,
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<Vec<u8>>(), 0usize..40), 0..4),
        ) {
            let (mut bytes, _) = segment(rows);
            for (at, replacement, removed) in edits {
                let at = at.index(bytes.len());
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, replacement);
            }
            check_scan(&bytes)?;
        }

        #[test]
        fn foreign_bytes_are_scanned(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            check_scan(&bytes)?;
        }
    }

    /// The invariant: header, valid frames, damaged ranges and torn tail cover the bytes once each.
    fn check_scan(bytes: &[u8]) -> Result<(), TestCaseError> {
        let scan = scan(bytes);
        let mut covered = vec![0u8; bytes.len()];
        let mut cover = |start: usize, end: usize| covered[start..end].iter_mut().for_each(|n| *n += 1);
        if scan.header.is_some() {
            cover(0, HEADER_BYTES);
        }
        for (offset, length) in scan.offsets.iter().zip(&scan.lengths) {
            let (start, end) = (*offset as usize, (*offset + *length) as usize);
            prop_assert!(record::decode(&bytes[start..end]).is_ok());
            cover(start - FRAME_HEADER_BYTES, end);
        }
        for range in &scan.damaged {
            cover(range.start, range.end);
        }
        cover(bytes.len() - scan.torn_tail_bytes, bytes.len());
        prop_assert!(covered.iter().all(|n| *n == 1), "{scan:?}");
        Ok(())
    }
}
