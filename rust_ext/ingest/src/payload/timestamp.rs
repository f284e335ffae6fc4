//! An event's own time: seconds or milliseconds since the epoch, or ISO 8601.

use crate::snapshot::days_of_civil;

/// Numbers from here on are milliseconds: as seconds it is the year 5138, as milliseconds 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// Milliseconds since the epoch from a number's text.
#[must_use]
pub fn from_number(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    let ms = if value.abs() < MILLISECONDS_FROM { value * 1_000.0 } else { value };
    // Beyond ±9e15 an f64 no longer counts single milliseconds; no such time is meant.
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    (ms.abs() < 9e15).then(|| ms.floor() as i64)
}

/// Milliseconds since the epoch from `2026-11-22T10:11:12.345Z`, also with a blank for the `T`, without seconds or fraction, with an
/// offset `+02:00`, `+0200` or `+02`; without a zone it is UTC. Digits alone are a number.
#[must_use]
pub fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return from_number(text);
    }
    let mut reader = Reader { rest: text.as_bytes() };
    let year = reader.number(4)?;
    reader.expect(b"-")?;
    let month = reader.number(2)?;
    reader.expect(b"-")?;
    let days = days_of_civil(year, month, reader.number(2)?)?;
    reader.expect(b"Tt ")?;
    let hour = reader.number(2)?;
    reader.expect(b":")?;
    let minute = reader.number(2)?;
    let second = if reader.expect(b":").is_some() { reader.number(2)? } else { 0 };
    let fraction_ms = if reader.expect(b".,").is_some() { reader.fraction_ms()? } else { 0 };
    let offset_minutes = reader.offset_minutes()?;
    // A leap second is the next minute's first.
    if hour > 23 || minute > 59 || second > 60 || !reader.rest.is_empty() {
        return None;
    }
    let minutes = (i64::from(days) * 24 + i64::from(hour)) * 60 + i64::from(minute) - i64::from(offset_minutes);
    Some((minutes * 60 + i64::from(second)) * 1_000 + i64::from(fraction_ms))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn expect(&mut self, any_of: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !any_of.contains(first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self, digits: usize) -> Option<i32> {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 10 + i32::from(self.expect(b"0123456789")? - b'0');
        }
        Some(value)
    }

    /// Digits beyond the third are read over.
    fn fraction_ms(&mut self) -> Option<i32> {
        let mut value = i32::from(self.expect(b"0123456789")? - b'0') * 100;
        let mut unit = 10;
        while let Some(digit) = self.expect(b"0123456789") {
            value += i32::from(digit - b'0') * unit;
            unit /= 10;
        }
        Some(value)
    }

    fn offset_minutes(&mut self) -> Option<i32> {
        let sign = match self.expect(b"Zz+-") {
            None | Some(b'Z' | b'z') => return Some(0),
            Some(b'-') => -1,
            Some(_) => 1,
        };
        let hours = self.number(2)?;
        let minutes = if self.rest.is_empty() {
            0
        } else {
            let _ = self.expect(b":");
            self.number(2)?
        };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_iso_8601() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-22T10:11:12Z", Some(1_795_342_272_000)),
            ("2026-11-22T10:11:12.3Z", Some(1_795_342_272_300)),
            ("2026-11-22T10:11:12.345678Z", Some(1_795_342_272_345)),
            ("2026-11-22T10:11:12,345Z", Some(1_795_342_272_345)),
            ("2026-11-22 10:11:12", Some(1_795_342_272_000)),
            ("2026-11-22T10:11Z", Some(1_795_342_260_000)),
            ("2026-11-22T12:11:12+02:00", Some(1_795_342_272_000)),
            ("2026-11-22T12:11:12+0200", Some(1_795_342_272_000)),
            ("2026-11-22T05:11:12-05", Some(1_795_342_272_000)),
            ("2026-12-31T23:59:60Z", Some(1_798_761_600_000)),
            (" 1795342272 ", Some(1_795_342_272_000)),
            ("1795342272345", Some(1_795_342_272_345)),
            ("", None),
            ("now", None),
            ("2026-11-22", None),
            ("2026-02-29T00:00:00Z", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T10:60:00Z", None),
            ("2026-11-22T10:00:61Z", None),
            ("2026-11-22T10:11:12.Z", None),
            ("2026-11-22T10:11:12Zulu", None),
            ("2026-11-22T10:11:12+24:00", None),
            ("2026-11-22T10:11:12+02:0", None),
            ("2026-11-22Tab:cd", None),
            ("1.2.3", None),
        ] {
            assert_eq!(from_text(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_seconds_and_milliseconds() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1795342272", Some(1_795_342_272_000)),
            ("1795342272.5", Some(1_795_342_272_500)),
            ("1795342272345", Some(1_795_342_272_345)),
            ("1.795342272e9", Some(1_795_342_272_000)),
            ("-1", Some(-1_000)),
            ("1e300", None),
        ] {
            assert_eq!(from_number(text), expected, "{text}");
        }
    }
}
