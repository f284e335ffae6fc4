//! Single values of a payload: text, numbers and flags in the shapes that clients send them in.
//!
//! Each reader consumes exactly one JSON value whatever it is; null counts as absent. What is wrong with a value goes to
//! `rejects` with the field's name and the value counts as absent, so that the rest of the payload is still read.

use super::json::{Cursor, JsonError, Value};
use super::{FirstReject, Reject, Revenue};
use crate::scratch::{Scratch, cut};
use crate::snapshot::hex_digit;

/// Engaged time of one report is at most a day: a tab left open over the weekend was not looked at that long.
const ENGAGED_MAX_MS: f64 = 86_400_000.0;

/// Largest amount of money: 9.2 × 10^12 units fit into i64 millionths.
const AMOUNT_MAX: f64 = 9e12;

/// A string; `None` for null or a wrong type.
#[inline]
pub(crate) fn text<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
) -> Result<Option<&'a str>, JsonError> {
    match cursor.plain_string() {
        Some(plain) => Ok(Some(plain)),
        None => any_text(cursor, scratch, field, rejects, "must be a string"),
    }
}

/// A string, or a number's text.
#[inline]
pub(crate) fn text_or_number<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
) -> Result<Option<&'a str>, JsonError> {
    match cursor.plain_string() {
        Some(plain) => Ok(Some(plain)),
        None => any_text(cursor, scratch, field, rejects, OR_NUMBER),
    }
}

/// What a field says that may also be a number.
const OR_NUMBER: &str = "must be a string or a number";

#[inline(never)]
fn any_text<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
    message: &'static str,
) -> Result<Option<&'a str>, JsonError> {
    Ok(match cursor.value()? {
        Value::Null => None,
        Value::String(raw) => raw.text(scratch),
        Value::Number(text) if message == OR_NUMBER => Some(text),
        other => {
            cursor.skip_rest(other)?;
            rejects.note(Reject::field_type(field, message));
            None
        }
    })
}

/// A flag: true and false, 1 and 0, and either of them as a string.
pub(crate) fn flag<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
) -> Result<Option<bool>, JsonError> {
    let value = match cursor.value()? {
        Value::Null => return Ok(None),
        Value::Bool(value) => Some(value),
        Value::Number(text) => flag_of_text(text),
        Value::String(raw) => raw.text(scratch).and_then(flag_of_text),
        other => {
            cursor.skip_rest(other)?;
            None
        }
    };
    if value.is_none() {
        rejects.note(Reject::field_type(field, "must be true or false"));
    }
    Ok(value)
}

/// `1`, `true` and their opposites.
#[must_use]
pub fn flag_of_text(text: &str) -> Option<bool> {
    match text.as_bytes() {
        b"1" | b"true" => Some(true),
        b"0" | b"false" | b"" => Some(false),
        _ => None,
    }
}

/// A number, or a string that contains one; not below zero.
#[inline]
pub(crate) fn number<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
) -> Result<Option<f64>, JsonError> {
    match cursor.plain_number() {
        Some(plain) => Ok(Some(f64::from(plain))),
        None => any_number(cursor, scratch, field, rejects),
    }
}

#[inline(never)]
pub(super) fn any_number<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
) -> Result<Option<f64>, JsonError> {
    let text = match cursor.value()? {
        Value::Null => return Ok(None),
        Value::Number(text) => text,
        Value::String(raw) => raw.text(scratch).unwrap_or(""),
        other => {
            cursor.skip_rest(other)?;
            ""
        }
    };
    Ok(match number_of_text(text, field) {
        Ok(value) => Some(value),
        Err(reject) => {
            rejects.note(reject);
            None
        }
    })
}

/// A number's text that is not below zero.
///
/// # Errors
/// No number, or below zero.
pub fn number_of_text(text: &str, field: &'static str) -> Result<f64, Reject> {
    // Most numbers are a few digits; the general parser costs ten times as much.
    if let Some(value) = few_digits(text) {
        return Ok(f64::from(value));
    }
    let value: f64 = text.trim().parse().map_err(|_| Reject::field_type(field, "must be a number"))?;
    if value >= 0.0 { Ok(value) } else { Err(Reject::range(field, "must not be negative")) }
}

fn few_digits(text: &str) -> Option<u32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.bytes().try_fold(0_u32, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + u32::from(digit))
    })
}

/// A whole number up to 65,535, rounded.
///
/// # Errors
/// Larger.
pub fn u16_of(value: f64, field: &'static str) -> Result<u16, Reject> {
    let rounded = value.round();
    if rounded > f64::from(u16::MAX) {
        return Err(Reject::range(field, "is too large"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 65,535 by the checks")]
    Ok(rounded.max(0.0) as u16)
}

/// Engaged milliseconds, at most a day.
#[must_use]
pub fn engaged_ms_of(value: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to a day")]
    let ms = value.clamp(0.0, ENGAGED_MAX_MS).round() as u32;
    ms
}

/// Scroll depth: overscrolling makes it exceed 100, and 255 is how Plausible's script says "unknown".
#[must_use]
pub fn scroll_depth_of(value: f64) -> Option<u8> {
    if value.round() >= 255.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 100")]
    let percent = value.clamp(0.0, 100.0).round() as u8;
    Some(percent)
}

/// A page-load id: up to 16 hex digits, never 0.
///
/// # Errors
/// Not that.
pub fn load_id_of(text: &str) -> Result<u64, Reject> {
    const FIELD: &str = "load_id";
    if text.len() > 16 {
        return Err(Reject::too_long(FIELD));
    }
    text.bytes()
        .try_fold(0_u64, |value, byte| Some((value << 4) | u64::from(hex_digit(byte)?)))
        .ok_or(Reject::field_type(FIELD, "must be hexadecimal"))
}

/// `1920x1080`, `1920,1080` or `1920,1080,2`; an unreadable size is unknown.
#[must_use]
pub fn screen_of_text(text: &str) -> Option<(u16, u16)> {
    let (width, rest) = text.split_once(['x', 'X', ','])?;
    let height = rest.split_once(',').map_or(rest, |(height, _)| height);
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}

/// Revenue: `{"amount": 12.5 or "12.50", "currency": "EUR"}`, also as a JSON string.
pub(crate) fn revenue<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    rejects: &mut FirstReject,
) -> Result<Option<Revenue<'a>>, JsonError> {
    const NOT_AN_OBJECT: Reject = Reject::field_type("revenue", "must be an object of amount and currency");
    match cursor.value()? {
        Value::Null => Ok(None),
        Value::Object => revenue_members(cursor, scratch, rejects),
        Value::String(raw) => {
            let mut inner = Cursor::new(raw.text(scratch).unwrap_or(""));
            let read = match inner.value() {
                Ok(Value::Object) => revenue_members(&mut inner, scratch, rejects),
                _ => Err(JsonError { at: 0 }),
            };
            match read.and_then(|revenue| inner.finish().map(|()| revenue)) {
                Ok(revenue) => Ok(revenue),
                Err(_) => {
                    rejects.note(NOT_AN_OBJECT);
                    Ok(None)
                }
            }
        }
        other => {
            cursor.skip_rest(other)?;
            rejects.note(NOT_AN_OBJECT);
            Ok(None)
        }
    }
}

fn revenue_members<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    rejects: &mut FirstReject,
) -> Result<Option<Revenue<'a>>, JsonError> {
    let (mut amount, mut currency) = (None, None);
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        match key.bytes(scratch) {
            b"amount" => amount = text_or_number(cursor, scratch, "revenue", rejects)?,
            b"currency" => currency = text(cursor, scratch, "revenue", rejects)?,
            _ => cursor.skip_value()?,
        }
    }
    let (Some(amount), Some(currency)) = (amount, currency) else {
        rejects.note(Reject { message: "needs amount and currency", ..Reject::missing("revenue") });
        return Ok(None);
    };
    Ok(match revenue_of(amount, currency, scratch) {
        Ok(revenue) => Some(revenue),
        Err(reject) => {
            rejects.note(reject);
            None
        }
    })
}

fn revenue_of<'a>(amount: &str, currency: &'a str, scratch: &mut Scratch<'a>) -> Result<Revenue<'a>, Reject> {
    let amount: f64 =
        amount.trim().parse().map_err(|_| Reject::field_type("revenue", "must have a number as its amount"))?;
    if !(-AMOUNT_MAX..=AMOUNT_MAX).contains(&amount) {
        return Err(Reject::range("revenue", "is out of range"));
    }
    let currency = cut(currency.trim(), 4);
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(Reject::range("revenue", "must have a currency of three letters"));
    }
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    let amount_micros = (amount * 1e6).round() as i64;
    Ok(Revenue { amount_micros, currency: scratch.upper(currency) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_shape() {
        for (text, expected) in [
            ("0", Ok(0.0)),
            ("1234", Ok(1_234.0)),
            ("999999999", Ok(999_999_999.0)),
            ("9999999999", Ok(9_999_999_999.0)),
            ("1.5", Ok(1.5)),
            ("1e3", Ok(1_000.0)),
            (" 7 ", Ok(7.0)),
            ("", Err(Outcome::FieldType)),
            ("x", Err(Outcome::FieldType)),
            ("NaN", Err(Outcome::FieldRange)),
            ("-1", Err(Outcome::FieldRange)),
        ] {
            assert_eq!(number_of_text(text, "f").map_err(|reject| reject.outcome), expected, "{text:?}");
        }
    }

    use crate::drop_reason::Outcome;

    #[test]
    fn bounded_numbers() {
        assert_eq!(u16_of(65_535.4, "f"), Ok(65_535));
        assert_eq!(u16_of(65_535.5, "f").map_err(|reject| reject.outcome), Err(Outcome::FieldRange));
        assert_eq!((engaged_ms_of(12.6), engaged_ms_of(1e12)), (13, 86_400_000));
        assert_eq!(
            (scroll_depth_of(41.5), scroll_depth_of(101.0), scroll_depth_of(255.0)),
            (Some(42), Some(100), None)
        );
    }

    #[test]
    fn load_ids() {
        assert_eq!(load_id_of("00ffABcd"), Ok(0x00ff_abcd));
        assert_eq!(load_id_of("ffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(load_id_of("ffffffffffffffff0").map_err(|reject| reject.outcome), Err(Outcome::FieldTooLong));
        assert_eq!(load_id_of("xyz").map_err(|reject| reject.outcome), Err(Outcome::FieldType));
    }

    #[test]
    fn screens() {
        for (text, expected) in [
            ("1920x1080", Some((1_920, 1_080))),
            ("390,844,3", Some((390, 844))),
            ("390,844", Some((390, 844))),
            ("390", None),
            ("x", None),
            ("-1x5", None),
            ("99999x5", None),
        ] {
            assert_eq!(screen_of_text(text), expected, "{text}");
        }
    }
}
