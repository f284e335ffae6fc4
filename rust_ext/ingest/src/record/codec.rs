//! Payload bytes ⇄ record. The byte tables stand at the top of [`super`].
//!
//! The encoder cannot fail: what does not fit is cut (a string at 65,535 bytes on a character border, props at 255 or
//! at `RECORD_MAX_BYTES`). The reader believes nothing: every length is checked against what is there. [`check`] is the
//! fast judge that recovery runs over every record; [`decode`] is its naive twin that also builds the values, and a
//! property test holds them to the same verdict.

use super::{
    Channel, Device, EventKind, HIT_FIXED_BYTES, HitRecord, Metric, RECORD_HIT, RECORD_MAX_BYTES, RECORD_SHORT,
    SCROLL_DEPTH_ABSENT, SHORT_RECORD_BYTES, STRING_FIELDS, STRING_LENGTHS_OFFSET, ShortRecord, offset,
};
use crate::drop_reason::Outcome;

/// Why a payload is not a record. Never retriable: the bytes will not change. Nothing is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Ends before its fixed fields or its stated lengths do.
    Truncated,
    /// Goes on after its stated lengths end, or is over `RECORD_MAX_BYTES`.
    TooLong,
    /// The first byte is neither a hit's nor a short record's.
    RecordKind,
    /// An event kind, device, channel, metric, outcome or flag outside its table.
    Code,
    /// A string is not UTF-8.
    Utf8,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DecodeError::Truncated => "the record ends before its stated lengths",
            DecodeError::TooLong => "the record goes on after its stated lengths",
            DecodeError::RecordKind => "unknown record kind",
            DecodeError::Code => "a code outside its table",
            DecodeError::Utf8 => "a string is not UTF-8",
        })
    }
}

impl std::error::Error for DecodeError {}

/// A decoded record, its strings borrowed from the payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    /// One row of `events`.
    Hit(Box<HitView<'a>>),
    /// A dropped or rejected hit.
    Short(ShortRecord),
}

/// A decoded hit record: the fields of [`HitRecord`], its lists owned.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct HitView<'a> {
    pub kind: EventKind,
    pub bot_reasons: u16,
    pub site_id: u32,
    pub time_ms: i64,
    pub visitor_id: u64,
    pub load_id: u64,
    pub engaged_ms: u32,
    pub screen_width_px: u16,
    pub screen_height_px: u16,
    pub sample_weight: u16,
    pub device: Device,
    pub channel: Channel,
    pub scroll_depth_percent: Option<u8>,
    pub interactive: bool,
    pub retention_class: u8,
    pub sequence: u16,
    pub revenue_micros: i64,
    pub strings: [&'a str; STRING_FIELDS],
    pub props: Vec<(&'a str, &'a str)>,
    pub metrics: Vec<(Metric, f32)>,
}

/// At most `u16::MAX` bytes of `text`, cut at a character border; and their number.
fn cut(text: &str) -> (&[u8], u16) {
    if let Ok(length) = u16::try_from(text.len()) {
        return (text.as_bytes(), length);
    }
    let mut end = u16::MAX;
    while !text.is_char_boundary(usize::from(end)) {
        end -= 1;
    }
    (text.as_bytes().get(..usize::from(end)).unwrap_or_default(), end)
}

/// Appends a hit's payload to `out`.
pub fn encode_hit(record: &HitRecord<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut fixed = [0u8; HIT_FIXED_BYTES];
    fixed[offset::RECORD_KIND] = RECORD_HIT;
    fixed[offset::EVENT_KIND] = record.kind.code();
    fixed[offset::BOT_REASONS..offset::BOT_REASONS + 2].copy_from_slice(&record.bot_reasons.to_le_bytes());
    fixed[offset::SITE_ID..offset::SITE_ID + 4].copy_from_slice(&record.site_id.to_le_bytes());
    fixed[offset::TIME_MS..offset::TIME_MS + 8].copy_from_slice(&record.time_ms.to_le_bytes());
    fixed[offset::VISITOR_ID..offset::VISITOR_ID + 8].copy_from_slice(&record.visitor_id.to_le_bytes());
    fixed[offset::LOAD_ID..offset::LOAD_ID + 8].copy_from_slice(&record.load_id.to_le_bytes());
    fixed[offset::ENGAGED_MS..offset::ENGAGED_MS + 4].copy_from_slice(&record.engaged_ms.to_le_bytes());
    fixed[offset::SCREEN_WIDTH_PX..offset::SCREEN_WIDTH_PX + 2].copy_from_slice(&record.screen_width_px.to_le_bytes());
    fixed[offset::SCREEN_HEIGHT_PX..offset::SCREEN_HEIGHT_PX + 2]
        .copy_from_slice(&record.screen_height_px.to_le_bytes());
    fixed[offset::SAMPLE_WEIGHT..offset::SAMPLE_WEIGHT + 2].copy_from_slice(&record.sample_weight.to_le_bytes());
    fixed[offset::DEVICE] = record.device.code();
    fixed[offset::CHANNEL] = record.channel.code();
    fixed[offset::SCROLL_DEPTH_PERCENT] = record.scroll_depth_percent.unwrap_or(SCROLL_DEPTH_ABSENT);
    fixed[offset::INTERACTIVE] = u8::from(record.interactive);
    fixed[offset::RETENTION_CLASS] = record.retention_class;
    fixed[offset::SEQUENCE..offset::SEQUENCE + 2].copy_from_slice(&record.sequence.to_le_bytes());
    fixed[offset::REVENUE_MICROS..offset::REVENUE_MICROS + 8].copy_from_slice(&record.revenue_micros.to_le_bytes());

    out.reserve(HIT_FIXED_BYTES + record.strings.iter().map(|text| text.len()).sum::<usize>());
    out.extend_from_slice(&fixed);
    let mut lengths = [0u8; 2 * STRING_FIELDS];
    for (text, length) in record.strings.iter().zip(lengths.chunks_exact_mut(2)) {
        if text.is_empty() {
            continue; // about half of them
        }
        let (bytes, byte_count) = cut(text);
        out.extend_from_slice(bytes);
        length.copy_from_slice(&byte_count.to_le_bytes());
    }
    let metrics = record.metrics.get(..usize::from(u8::MAX)).unwrap_or(record.metrics);
    let mut props_count = 0u8;
    for (key, value) in record.props.iter().take(usize::from(u8::MAX)) {
        let ((key, key_bytes), (value, value_bytes)) = (cut(key), cut(value));
        if out.len() - start + 4 + key.len() + value.len() + 5 * metrics.len() > RECORD_MAX_BYTES {
            break;
        }
        out.extend_from_slice(&key_bytes.to_le_bytes());
        out.extend_from_slice(&value_bytes.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
        props_count += 1;
    }
    let mut metrics_count = 0u8;
    for (metric, value) in metrics {
        out.push(metric.code());
        out.extend_from_slice(&value.to_le_bytes());
        metrics_count += 1;
    }
    if let Some(written) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<HIT_FIXED_BYTES>) {
        written[offset::PROPS_COUNT..offset::METRICS_COUNT + 1].copy_from_slice(&[props_count, metrics_count]);
        written[STRING_LENGTHS_OFFSET..STRING_LENGTHS_OFFSET + 2 * STRING_FIELDS].copy_from_slice(&lengths);
    }
}

/// Appends a short record's payload to `out`.
pub fn encode_short(record: &ShortRecord, out: &mut Vec<u8>) {
    let mut payload = [0u8; SHORT_RECORD_BYTES];
    payload[offset::RECORD_KIND] = RECORD_SHORT;
    payload[offset::SHORT_OUTCOME] = record.outcome.code();
    payload[offset::SHORT_BOT_REASONS..offset::SHORT_BOT_REASONS + 2]
        .copy_from_slice(&record.bot_reasons.to_le_bytes());
    payload[offset::SHORT_SITE_ID..offset::SHORT_SITE_ID + 4].copy_from_slice(&record.site_id.to_le_bytes());
    payload[offset::SHORT_TIME_MS..offset::SHORT_TIME_MS + 8].copy_from_slice(&record.time_ms.to_le_bytes());
    out.extend_from_slice(&payload);
}

/// A reader that cannot leave its bytes.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn text(&mut self, bytes: u16) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.take(usize::from(bytes))?).map_err(|_| DecodeError::Utf8)
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TooLong) }
    }
}

fn known<T>(code: Option<T>) -> Result<T, DecodeError> {
    code.ok_or(DecodeError::Code)
}

/// The record in `payload`, every value built.
///
/// # Errors
/// When the payload is not exactly one record.
pub fn decode(payload: &[u8]) -> Result<Record<'_>, DecodeError> {
    if payload.len() > RECORD_MAX_BYTES {
        return Err(DecodeError::TooLong);
    }
    let mut cursor = Cursor { rest: payload };
    match cursor.u8()? {
        RECORD_HIT => Ok(Record::Hit(Box::new(decode_hit(&mut cursor)?))),
        RECORD_SHORT => Ok(Record::Short(decode_short(&mut cursor)?)),
        _ => Err(DecodeError::RecordKind),
    }
}

fn decode_hit<'a>(cursor: &mut Cursor<'a>) -> Result<HitView<'a>, DecodeError> {
    let kind = known(EventKind::from_code(cursor.u8()?))?;
    let bot_reasons = cursor.u16()?;
    let site_id = cursor.u32()?;
    let time_ms = cursor.i64()?;
    let visitor_id = cursor.u64()?;
    let load_id = cursor.u64()?;
    let engaged_ms = cursor.u32()?;
    let screen_width_px = cursor.u16()?;
    let screen_height_px = cursor.u16()?;
    let sample_weight = cursor.u16()?;
    let device = known(Device::from_code(cursor.u8()?))?;
    let channel = known(Channel::from_code(cursor.u8()?))?;
    let scroll_depth_percent = Some(cursor.u8()?).filter(|percent| *percent != SCROLL_DEPTH_ABSENT);
    let interactive = match cursor.u8()? {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::Code),
    };
    let retention_class = cursor.u8()?;
    let props_count = cursor.u8()?;
    let metrics_count = cursor.u8()?;
    cursor.take(1)?;
    let sequence = cursor.u16()?;
    cursor.take(4)?;
    let revenue_micros = cursor.i64()?;
    let mut lengths = [0u16; STRING_FIELDS];
    for length in &mut lengths {
        *length = cursor.u16()?;
    }
    cursor.take(HIT_FIXED_BYTES - STRING_LENGTHS_OFFSET - 2 * STRING_FIELDS)?;
    let mut strings = [""; STRING_FIELDS];
    for (text, length) in strings.iter_mut().zip(lengths) {
        *text = cursor.text(length)?;
    }
    let mut props = Vec::with_capacity(usize::from(props_count));
    for _ in 0..props_count {
        let (key_bytes, value_bytes) = (cursor.u16()?, cursor.u16()?);
        props.push((cursor.text(key_bytes)?, cursor.text(value_bytes)?));
    }
    let mut metrics = Vec::with_capacity(usize::from(metrics_count));
    for _ in 0..metrics_count {
        let metric = known(Metric::from_code(cursor.u8()?))?;
        metrics.push((metric, f32::from_le_bytes(cursor.array()?)));
    }
    cursor.end()?;
    Ok(HitView {
        kind,
        bot_reasons,
        site_id,
        time_ms,
        visitor_id,
        load_id,
        engaged_ms,
        screen_width_px,
        screen_height_px,
        sample_weight,
        device,
        channel,
        scroll_depth_percent,
        interactive,
        retention_class,
        sequence,
        revenue_micros,
        strings,
        props,
        metrics,
    })
}

fn decode_short(cursor: &mut Cursor<'_>) -> Result<ShortRecord, DecodeError> {
    let outcome = known(Outcome::from_code(cursor.u8()?).filter(|outcome| *outcome != Outcome::Accepted))?;
    let record = ShortRecord { outcome, bot_reasons: cursor.u16()?, site_id: cursor.u32()?, time_ms: cursor.i64()? };
    cursor.end()?;
    Ok(record)
}

/// Whether `payload` is exactly one record, building nothing. The same verdict as [`decode`], without its allocations
/// and with one UTF-8 pass over all strings.
///
/// # Errors
/// When the payload is not exactly one record.
pub fn check(payload: &[u8]) -> Result<(), DecodeError> {
    if payload.len() > RECORD_MAX_BYTES {
        return Err(DecodeError::TooLong);
    }
    match payload.first() {
        None => Err(DecodeError::Truncated),
        Some(&RECORD_HIT) => check_hit(payload),
        Some(&RECORD_SHORT) => {
            let mut cursor = Cursor { rest: payload };
            cursor.take(1)?;
            decode_short(&mut cursor).map(|_| ())
        }
        Some(_) => Err(DecodeError::RecordKind),
    }
}

fn check_hit(payload: &[u8]) -> Result<(), DecodeError> {
    let (fixed, rest) = payload.split_first_chunk::<HIT_FIXED_BYTES>().ok_or(DecodeError::Truncated)?;
    known(EventKind::from_code(fixed[offset::EVENT_KIND]))?;
    known(Device::from_code(fixed[offset::DEVICE]))?;
    known(Channel::from_code(fixed[offset::CHANNEL]))?;
    if fixed[offset::INTERACTIVE] > 1 {
        return Err(DecodeError::Code);
    }
    let lengths = &fixed[STRING_LENGTHS_OFFSET..STRING_LENGTHS_OFFSET + 2 * STRING_FIELDS];
    let (pairs, _) = lengths.as_chunks::<2>();
    let total: usize = pairs.iter().map(|pair| usize::from(u16::from_le_bytes(*pair))).sum();
    let mut cursor = Cursor { rest };
    let strings = cursor.take(total)?;
    if !strings.is_ascii() {
        let text = std::str::from_utf8(strings).map_err(|_| DecodeError::Utf8)?;
        let mut end = 0;
        for pair in pairs {
            end += usize::from(u16::from_le_bytes(*pair));
            if !text.is_char_boundary(end) {
                return Err(DecodeError::Utf8);
            }
        }
    }
    for _ in 0..fixed[offset::PROPS_COUNT] {
        let (key_bytes, value_bytes) = (cursor.u16()?, cursor.u16()?);
        cursor.text(key_bytes)?;
        cursor.text(value_bytes)?;
    }
    for _ in 0..fixed[offset::METRICS_COUNT] {
        let [metric, ..] = cursor.array::<5>()?;
        known(Metric::from_code(metric))?;
    }
    cursor.end()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::record::StringField;
    use proptest::prelude::*;

    impl HitView<'_> {
        /// The same hit as the encoder takes it.
        fn as_record(&self) -> HitRecord<'_> {
            HitRecord {
                kind: self.kind,
                bot_reasons: self.bot_reasons,
                site_id: self.site_id,
                time_ms: self.time_ms,
                visitor_id: self.visitor_id,
                load_id: self.load_id,
                engaged_ms: self.engaged_ms,
                screen_width_px: self.screen_width_px,
                screen_height_px: self.screen_height_px,
                sample_weight: self.sample_weight,
                device: self.device,
                channel: self.channel,
                scroll_depth_percent: self.scroll_depth_percent,
                interactive: self.interactive,
                retention_class: self.retention_class,
                sequence: self.sequence,
                revenue_micros: self.revenue_micros,
                strings: self.strings,
                props: &self.props,
                metrics: &self.metrics,
            }
        }
    }

    /// A page view with nothing but a path; the tests fill in the rest.
    pub(crate) fn plain_hit<'a>() -> HitView<'a> {
        let mut strings = [""; STRING_FIELDS];
        strings[StringField::Hostname as usize] = "example.com";
        strings[StringField::Path as usize] = "/";
        HitView {
            kind: EventKind::Pageview,
            bot_reasons: 0,
            site_id: 1,
            time_ms: 1_795_426_458_123,
            visitor_id: 0x0102_0304_0506_0708,
            load_id: 0,
            engaged_ms: 0,
            screen_width_px: 0,
            screen_height_px: 0,
            sample_weight: 1,
            device: Device::Desktop,
            channel: Channel::Direct,
            scroll_depth_percent: None,
            interactive: true,
            retention_class: 1,
            sequence: 0,
            revenue_micros: 0,
            strings,
            props: Vec::new(),
            metrics: Vec::new(),
        }
    }

    pub(crate) fn encoded(hit: &HitView<'_>) -> Vec<u8> {
        let mut payload = Vec::new();
        encode_hit(&hit.as_record(), &mut payload);
        payload
    }

    #[test]
    fn hit_golden_bytes() {
        let mut hit = plain_hit();
        hit.kind = EventKind::Vitals;
        hit.bot_reasons = 0x0201;
        hit.site_id = 0x0D0C_0B0A;
        hit.time_ms = -2;
        hit.load_id = 0xFF;
        hit.engaged_ms = 0x0403_0201;
        hit.screen_width_px = 1280;
        hit.screen_height_px = 720;
        hit.device = Device::Tablet;
        hit.channel = Channel::Audio;
        hit.scroll_depth_percent = Some(77);
        hit.sequence = 9;
        hit.revenue_micros = 1_000_000;
        hit.strings[StringField::RevenueCurrency as usize] = "EUR";
        hit.props = vec![("k", "vé")];
        hit.metrics = vec![(Metric::Cls, 0.5)];
        let mut expected = vec![1, 4, 1, 2, 0x0A, 0x0B, 0x0C, 0x0D];
        expected.extend([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 8, 7, 6, 5, 4, 3, 2, 1]);
        expected.extend([0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 5, 0xD0, 2, 1, 0, 3, 18, 77, 1, 1, 1, 1, 0]);
        expected.extend([9, 0, 0, 0, 0, 0, 0x40, 0x42, 0x0F, 0, 0, 0, 0, 0]);
        expected.extend([11, 0, 1, 0]);
        expected.extend([0; 32]);
        expected.extend([3, 0, 0, 0]);
        expected.extend(b"example.com/EUR");
        expected.extend([1, 0, 3, 0, b'k', b'v', 0xC3, 0xA9, 3, 0, 0, 0, 0x3F]);
        let payload = encoded(&hit);
        assert_eq!(payload, expected);
        assert_eq!(decode(&payload), Ok(Record::Hit(Box::new(hit))));
    }

    #[test]
    fn short_golden_bytes() {
        let record = ShortRecord { outcome: Outcome::Rate, bot_reasons: 0x0102, site_id: 7, time_ms: 1 };
        let mut payload = Vec::new();
        encode_short(&record, &mut payload);
        assert_eq!(payload, [2, 5, 2, 1, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode(&payload), Ok(Record::Short(record)));
        payload[1] = 0;
        assert_eq!(check(&payload), Err(DecodeError::Code), "an accepted hit is no short record");
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let long = "é".repeat(40_000);
        let mut hit = plain_hit();
        hit.strings[StringField::Path as usize] = &long;
        hit.props = vec![("key", long.as_str()); 300];
        hit.metrics = vec![(Metric::LoadMs, 1.0); 300];
        let payload = encoded(&hit);
        assert!(payload.len() <= RECORD_MAX_BYTES);
        let Ok(Record::Hit(read)) = decode(&payload) else { panic!("undecodable") };
        assert_eq!(read.strings[StringField::Path as usize], &long[..65_534]);
        assert_eq!(read.props.len(), 30, "2 MiB of 64 KiB values");
        assert_eq!(read.metrics.len(), 255);
    }

    #[test]
    fn every_verdict_has_its_error() {
        let mut hit = plain_hit();
        hit.strings[StringField::Browser as usize] = "é";
        hit.metrics = vec![(Metric::LoadMs, 1.0)];
        let payload = encoded(&hit);
        let broken = |at: usize, byte: u8| {
            let mut payload = payload.clone();
            payload[at] = byte;
            (check(&payload), decode(&payload).map(|_| ()))
        };
        let both = |error| (Err(error), Err(error));
        assert_eq!(broken(offset::RECORD_KIND, 3), both(DecodeError::RecordKind));
        assert_eq!(broken(offset::EVENT_KIND, 9), both(DecodeError::Code));
        assert_eq!(broken(offset::DEVICE, 8), both(DecodeError::Code));
        assert_eq!(broken(offset::CHANNEL, 19), both(DecodeError::Code));
        assert_eq!(broken(offset::INTERACTIVE, 2), both(DecodeError::Code));
        assert_eq!(broken(payload.len() - 5, 6), both(DecodeError::Code));
        assert_eq!(broken(payload.len() - 6, b'x'), both(DecodeError::Utf8));
        assert_eq!(broken(offset::METRICS_COUNT, 2), both(DecodeError::Truncated));
        assert_eq!(broken(offset::METRICS_COUNT, 0), both(DecodeError::TooLong));
        assert_eq!(check(&[]), Err(DecodeError::Truncated));
        assert_eq!(check(&vec![1; RECORD_MAX_BYTES + 1]), Err(DecodeError::TooLong));
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![4 => "[ -~]{0,12}", 1 => "\\PC{0,6}", 1 => Just(String::new())]
    }

    type Numbers = ((u8, u8, u8, u8), (u16, u32, i64, u64, u64), (u32, u16, u16, u16, u8), (u8, bool, u16, i64));

    fn hit<'a>(
        numbers: Numbers,
        strings: &'a [String],
        props: &'a [(String, String)],
        metrics: &[(u8, f32)],
    ) -> HitView<'a> {
        let ((kind, device, channel, scroll), a, b, c) = numbers;
        let mut hit = plain_hit();
        hit.kind = EventKind::ALL[usize::from(kind) % EventKind::ALL.len()];
        hit.device = Device::ALL[usize::from(device) % Device::ALL.len()];
        hit.channel = Channel::ALL[usize::from(channel) % Channel::ALL.len()];
        hit.scroll_depth_percent = Some(scroll).filter(|percent| *percent <= 100);
        (hit.bot_reasons, hit.site_id, hit.time_ms, hit.visitor_id, hit.load_id) = a;
        (hit.engaged_ms, hit.screen_width_px, hit.screen_height_px, hit.sample_weight, hit.retention_class) = b;
        hit.interactive = c.1;
        hit.sequence = c.2;
        hit.revenue_micros = c.3;
        for (field, value) in hit.strings.iter_mut().zip(strings) {
            *field = value;
        }
        hit.props = props.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        hit.metrics = metrics
            .iter()
            .map(|(metric, value)| (Metric::ALL[usize::from(*metric) % Metric::ALL.len()], *value))
            .collect();
        hit
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverse_and_check_agrees(
            numbers in any::<Numbers>(),
            strings in prop::collection::vec(text(), STRING_FIELDS),
            props in prop::collection::vec((text(), text()), 0..4),
            metrics in prop::collection::vec((any::<u8>(), -1e9f32..1e9), 0..4),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let hit = hit(numbers, &strings, &props, &metrics);
            let mut payload = encoded(&hit);
            prop_assert_eq!(check(&payload), Ok(()));
            prop_assert_eq!(decode(&payload), Ok(Record::Hit(Box::new(hit))));
            for (at, byte) in damage {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            if let Some(cut) = cut {
                payload.truncate(cut.index(payload.len()));
            }
            prop_assert_eq!(check(&payload).is_ok(), decode(&payload).is_ok());
        }

        #[test]
        fn any_bytes_are_judged_alike(mut payload in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..4) {
            if let Some(first) = payload.first_mut() {
                *first = kind;
            }
            prop_assert_eq!(check(&payload).is_ok(), decode(&payload).is_ok());
        }
    }
}
