//! The segment: one spool file of records, all of one shard, month and retention class. Little-endian.
//!
//! **Header**, 64 bytes:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 8 | magic `FFSEGMT\x01` |
//! | 8 | 2 | version = 1 |
//! | 10 | 2 | header bytes = 64 |
//! | 12 | 4 | shard |
//! | 16 | 16 | segment id, random; in hex also the file's name |
//! | 32 | 8 | created at, i64 ms since the epoch, UTC |
//! | 40 | 4 | month of the rows' UTC time, yyyymm |
//! | 44 | 1 | retention class |
//! | 45 | 15 | zero |
//! | 60 | 4 | CRC32C of bytes 0..60 |
//!
//! **Frame**, one per record, directly after each other:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 4 | sync mark `F1 7F A1 1D` |
//! | 4 | 4 | payload bytes |
//! | 8 | 4 | ordinal: 0 for the first record, +1 for each |
//! | 12 | 4 | CRC32C of the segment id, then frame bytes 4..12, then the payload |
//! | 16 | … | payload (`record`) |
//!
//! The id inside the CRC makes a frame valid in its own segment only: neither a stale block of another file nor a
//! frame that a client wrote into a payload can pass for a record. `F1 7F` is not UTF-8, so no string holds the mark.
//! The explicit ordinals make the number of lost records exact wherever a later record survives.
//!
//! A file is named `<id>.open` while it is written and `<id>.seg` once sealed. Only an `.open` file may have a torn tail.

use crate::record::RECORD_MAX_BYTES;

/// First eight bytes of a segment.
pub const MAGIC: [u8; 8] = *b"FFSEGMT\x01";
/// The format's version.
pub const VERSION: u16 = 1;
/// Bytes before the first frame.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a segment id.
pub const ID_BYTES: usize = 16;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 16;
/// Where a scan picks up again after damage.
pub const SYNC_MARK: [u8; 4] = [0xF1, 0x7F, 0xA1, 0x1D];
/// Extension of a segment that is being written.
pub const OPEN_EXTENSION: &str = "open";
/// Extension of a sealed segment.
pub const SEALED_EXTENSION: &str = "seg";

/// Offsets of the header's fields.
#[allow(missing_docs)]
pub mod offset {
    pub const VERSION: usize = 8;
    pub const HEADER_BYTES: usize = 10;
    pub const SHARD: usize = 12;
    pub const ID: usize = 16;
    pub const CREATED_AT_MS: usize = 32;
    pub const MONTH: usize = 40;
    pub const RETENTION_CLASS: usize = 44;
    pub const CRC: usize = 60;
}

/// A segment's 16 random bytes. Shown as 32 hex digits: its file name and its deduplication token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub [u8; ID_BYTES]);

impl std::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What all records of a segment have in common: it becomes one INSERT into one partition of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentKey {
    /// Shard of the records.
    pub shard: u32,
    /// UTC month of the records, yyyymm.
    pub month: u32,
    /// Retention class of the records.
    pub retention_class: u8,
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its id.
    pub id: SegmentId,
    /// Where its records go.
    pub key: SegmentKey,
    /// When it was opened: the `batch_time` of its rows.
    pub created_at_ms: i64,
}

/// Why 64 bytes are not a segment header. Never retriable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer than 64 bytes.
    Short,
    /// Its CRC32C does not match.
    Crc,
    /// Intact, but not a segment of a version that this build reads.
    Version,
}

impl std::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HeaderError::Short => "shorter than a segment header",
            HeaderError::Crc => "the segment header is damaged",
            HeaderError::Version => "not a segment of version 1",
        })
    }
}

impl std::error::Error for HeaderError {}

impl SegmentHeader {
    /// The 64 bytes that open the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0u8; HEADER_BYTES];
        bytes[..offset::VERSION].copy_from_slice(&MAGIC);
        bytes[offset::VERSION..offset::HEADER_BYTES].copy_from_slice(&VERSION.to_le_bytes());
        bytes[offset::HEADER_BYTES..offset::SHARD].copy_from_slice(&64u16.to_le_bytes());
        bytes[offset::SHARD..offset::ID].copy_from_slice(&self.key.shard.to_le_bytes());
        bytes[offset::ID..offset::CREATED_AT_MS].copy_from_slice(&self.id.0);
        bytes[offset::CREATED_AT_MS..offset::MONTH].copy_from_slice(&self.created_at_ms.to_le_bytes());
        bytes[offset::MONTH..offset::RETENTION_CLASS].copy_from_slice(&self.key.month.to_le_bytes());
        bytes[offset::RETENTION_CLASS] = self.key.retention_class;
        let crc = crc32c::crc32c(&bytes[..offset::CRC]);
        bytes[offset::CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the start of `segment`.
    ///
    /// # Errors
    /// When it is not there, damaged, or of another version.
    pub fn decode(segment: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let bytes = segment.first_chunk::<HEADER_BYTES>().ok_or(HeaderError::Short)?;
        if crc32c::crc32c(&bytes[..offset::CRC]) != le_u32(&bytes[offset::CRC..]) {
            return Err(HeaderError::Crc);
        }
        let version = [bytes[offset::VERSION], bytes[offset::VERSION + 1]];
        let header_bytes = [bytes[offset::HEADER_BYTES], bytes[offset::HEADER_BYTES + 1]];
        if bytes[..offset::VERSION] != MAGIC || version != VERSION.to_le_bytes() || header_bytes != 64u16.to_le_bytes()
        {
            return Err(HeaderError::Version);
        }
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&bytes[offset::ID..offset::CREATED_AT_MS]);
        let mut created = [0; 8];
        created.copy_from_slice(&bytes[offset::CREATED_AT_MS..offset::MONTH]);
        Ok(SegmentHeader {
            id: SegmentId(id),
            key: SegmentKey {
                shard: le_u32(&bytes[offset::SHARD..offset::ID]),
                month: le_u32(&bytes[offset::MONTH..offset::RETENTION_CLASS]),
                retention_class: bytes[offset::RETENTION_CLASS],
            },
            created_at_ms: i64::from_le_bytes(created),
        })
    }
}

/// The first four bytes as a number; 0 when there are fewer.
fn le_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The frames' CRC32C of one segment; its id is hashed once.
#[derive(Debug, Clone, Copy)]
pub struct FrameCrc {
    id_crc: u32,
}

impl FrameCrc {
    /// For the frames of segment `id`.
    #[must_use]
    pub fn new(id: SegmentId) -> FrameCrc {
        FrameCrc { id_crc: crc32c::crc32c(&id.0) }
    }

    /// Over frame bytes 4..12 and the payload.
    #[must_use]
    pub fn of(self, length_and_ordinal: &[u8], payload: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.id_crc, length_and_ordinal), payload)
    }
}

/// Appends a frame to `arena`: its header with only the length filled in, and the payload that `encode` appends.
/// Ordinal and CRC are left to [`seal_frames`], once it is known which segment the frame goes to.
pub fn append_frame(arena: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = arena.len();
    arena.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    encode(arena);
    let payload_bytes = arena.len() - start - FRAME_HEADER_BYTES;
    if let (Some(length), Ok(payload_bytes)) = (arena.get_mut(start + 4..start + 8), u32::try_from(payload_bytes)) {
        length.copy_from_slice(&payload_bytes.to_le_bytes());
    }
}

/// How many whole unsealed frames at the start of `arena` fit into `rows_max` rows and `bytes_max` bytes: (bytes, rows).
#[must_use]
pub fn frames_that_fit(arena: &[u8], rows_max: u32, bytes_max: usize) -> (usize, u32) {
    let (mut end, mut rows) = (0, 0);
    while rows < rows_max {
        let header = arena.get(end..).and_then(<[u8]>::first_chunk::<FRAME_HEADER_BYTES>);
        let Some(header) = header else { break };
        let next = end + FRAME_HEADER_BYTES + le_u32(&header[4..8]) as usize;
        if next > bytes_max || next > arena.len() {
            break;
        }
        end = next;
        rows += 1;
    }
    (end, rows)
}

/// Completes the frames of `arena` for the segment of `crc`, numbering them from `ordinal`. Returns the next ordinal.
pub fn seal_frames(arena: &mut [u8], crc: FrameCrc, mut ordinal: u32) -> u32 {
    let mut rest = arena;
    while let Some((header, after)) = rest.split_first_chunk_mut::<FRAME_HEADER_BYTES>() {
        let payload_bytes = le_u32(&header[4..8]) as usize;
        let Some((payload, next)) = after.split_at_mut_checked(payload_bytes) else {
            break;
        };
        header[..4].copy_from_slice(&SYNC_MARK);
        header[8..12].copy_from_slice(&ordinal.to_le_bytes());
        let sum = crc.of(&header[4..12], payload);
        header[12..].copy_from_slice(&sum.to_le_bytes());
        ordinal = ordinal.wrapping_add(1);
        rest = next;
    }
    ordinal
}

/// A frame as it stands in a file, its CRC checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// Its record's number in the segment.
    pub ordinal: u32,
}

/// What stands at the start of some bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRead {
    /// A whole frame with a matching CRC.
    Whole(Frame),
    /// The beginning of a frame that ends outside the bytes.
    Torn,
    /// Not a frame.
    Damaged,
}

/// Reads the frame at the start of `bytes`.
#[must_use]
pub fn read_frame(bytes: &[u8], crc: FrameCrc) -> FrameRead {
    let Some((header, after)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        let mark = SYNC_MARK.get(..bytes.len().min(SYNC_MARK.len())).unwrap_or_default();
        return if bytes.starts_with(mark) { FrameRead::Torn } else { FrameRead::Damaged };
    };
    let payload_bytes = le_u32(&header[4..8]);
    if header[..4] != SYNC_MARK || payload_bytes as usize > RECORD_MAX_BYTES {
        return FrameRead::Damaged;
    }
    let Some(payload) = after.get(..payload_bytes as usize) else {
        return FrameRead::Torn;
    };
    if crc.of(&header[4..12], payload) != le_u32(&header[12..]) {
        return FrameRead::Damaged;
    }
    FrameRead::Whole(Frame { payload_bytes, ordinal: le_u32(&header[8..12]) })
}

/// Ms of a day.
const DAY_MS: i64 = 86_400_000;

/// The UTC month of a time as yyyymm, by Howard Hinnant's civil-from-days. Times outside the years 1970–9999 count as
/// the nearest month inside.
#[must_use]
pub fn month_of(time_ms: i64) -> u32 {
    const LAST_DAY: i64 = 2_932_896; // 9999-12-31
    // Shifted to 0000-03-01, so that the leap day is the last of its year.
    let days = time_ms.div_euclid(DAY_MS).clamp(0, LAST_DAY) + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let (month, next_year) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    u32::try_from((era * 400 + year_of_era + next_year) * 100 + month).unwrap_or(197_001)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    const HEADER: SegmentHeader = SegmentHeader {
        id: SegmentId([0xAB; 16]),
        key: SegmentKey { shard: 3, month: 202_611, retention_class: 2 },
        created_at_ms: 1_795_426_458_123,
    };

    #[test]
    fn header_golden_bytes() {
        let bytes = HEADER.encode();
        assert_eq!(&bytes[..16], b"FFSEGMT\x01\x01\x00\x40\x00\x03\x00\x00\x00");
        assert_eq!(&bytes[16..32], &[0xAB; 16]);
        assert_eq!(&bytes[32..40], &1_795_426_458_123_i64.to_le_bytes());
        assert_eq!(&bytes[40..45], b"\x73\x17\x03\x00\x02");
        assert_eq!(&bytes[45..60], &[0; 15]);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
    }

    #[test]
    fn a_foreign_header_is_told_from_a_damaged_one() {
        let mut bytes = HEADER.encode();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Crc));
        let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
        bytes[60..].copy_from_slice(&crc);
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Version));
        assert_eq!(SegmentHeader::decode(&bytes[..63]), Err(HeaderError::Short));
    }

    #[test]
    fn a_frame_is_valid_in_its_own_segment_only() {
        let mut arena = Vec::new();
        append_frame(&mut arena, |out| out.extend_from_slice(b"payload"));
        let (ours, other) = (FrameCrc::new(SegmentId([1; 16])), FrameCrc::new(SegmentId([2; 16])));
        assert_eq!(seal_frames(&mut arena, ours, 41), 42);
        let frame = Frame { payload_bytes: 7, ordinal: 41 };
        assert_eq!(read_frame(&arena, ours), FrameRead::Whole(frame));
        assert_eq!(read_frame(&arena, other), FrameRead::Damaged);
        for end in 0..arena.len() {
            assert_eq!(read_frame(&arena[..end], ours), FrameRead::Torn);
        }
    }

    #[test]
    fn whole_frames_are_counted_up_to_the_limits() {
        let mut arena = Vec::new();
        for bytes in [10usize, 20, 30] {
            append_frame(&mut arena, |out| out.resize(out.len() + bytes, 7));
        }
        assert_eq!(frames_that_fit(&arena, 9, usize::MAX), (108, 3));
        assert_eq!(frames_that_fit(&arena, 2, usize::MAX), (62, 2));
        assert_eq!(frames_that_fit(&arena, 9, 61), (26, 1));
        assert_eq!(frames_that_fit(&arena, 9, 25), (0, 0));
    }

    #[test]
    fn months_at_their_borders() {
        for (time_ms, month) in [
            (0, 197_001),
            (-1, 197_001),
            (951_782_400_000 - 1, 200_002), // 2000-02-28T23:59:59.999
            (951_868_800_000 - 1, 200_002), // 2000-02-29
            (951_868_800_000, 200_003),
            (1_795_426_458_123, 202_611),
            (1_798_761_599_999, 202_612),
            (1_798_761_600_000, 202_701),
            (i64::MAX, 999_912),
            (i64::MIN, 197_001),
        ] {
            assert_eq!(month_of(time_ms), month, "{time_ms}");
        }
    }

    /// Counts day by day through the calendar.
    fn month_of_naive(time_ms: i64) -> u32 {
        let mut days = time_ms.div_euclid(DAY_MS);
        for year in 1970u32.. {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            for (month, length) in (1u32..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                if days < length {
                    return year * 100 + month;
                }
                days -= length;
            }
        }
        0
    }

    proptest! {
        #[test]
        fn months_equal_the_calendar(time_ms in 0i64..4_102_444_800_000) {
            prop_assert_eq!(month_of(time_ms), month_of_naive(time_ms));
        }
    }
}
