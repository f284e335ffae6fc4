//! A cursor over JSON text that borrows: no tree, no map, no allocation.
//!
//! It checks the grammar of RFC 8259 strictly (the tests hold it against serde_json) and hands out strings as slices of the
//! input with a mark whether they contain escapes; only those are copied, into the hit's [`Scratch`], when somebody asks for them.
//!
//! Differences from serde_json, on purpose: a `\ud800`-like escape without its other half reads as U+FFFD (browsers send
//! such halves when a page cuts an emoji), and numbers are kept as text, so none is out of range here.

use crate::lanes::{LANES, Lanes, bytes_before, text_of};
use crate::scratch::{ByteWriter, Scratch};

/// Deepest nesting that is read; the same as serde_json's. Payloads need three levels.
const MAX_DEPTH: u32 = 128;

/// Not JSON. Where and why is of no use to a tracker; the byte offset helps a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Offset of the byte that does not belong there.
    pub at: usize,
}

/// A string's text between its quotes, as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    /// A piece of the text between two ASCII bytes, hence text itself.
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> RawString<'a> {
    /// The string. `None` only when the scratch space is used up.
    #[inline]
    pub fn text(self, scratch: &mut Scratch<'a>) -> Option<&'a str> {
        if self.escaped { scratch.write(|space| unescape(self.raw, space)) } else { text_of(self.raw).ok() }
    }

    /// The string's bytes, to be compared with known ones; none when the scratch space is used up.
    #[inline]
    pub(crate) fn bytes(self, scratch: &mut Scratch<'a>) -> &'a [u8] {
        if self.escaped { self.text(scratch).unwrap_or("").as_bytes() } else { self.raw }
    }
}

/// One value; of a container only its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number's text, checked.
    Number(&'a str),
    /// A string.
    String(RawString<'a>),
    /// The cursor stands after `{`: read on with [`Cursor::next_key`], or [`Cursor::skip_rest`].
    Object,
    /// The cursor stands after `[`: read on with [`Cursor::next_element`], or [`Cursor::skip_rest`].
    Array,
}

/// A position in JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    /// The offset of the next unread byte.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Reads a value, blanks before it included.
    ///
    /// # Errors
    /// No value stands here.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, JsonError> {
        match self.skip_blanks() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => {
                self.at += 1;
                Ok(Value::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Value::Array)
            }
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => self.number().map(Value::Number),
        }
    }

    /// Inside an object: the next member's key, the cursor standing before its value; `None` after the closing brace. `first` is true
    /// before the first call for this object and the cursor's own afterwards.
    ///
    /// # Errors
    /// Neither a member nor the object's end stands here.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<RawString<'a>>, JsonError> {
        match self.plain_key(*first) {
            Some(key) => {
                *first = false;
                Ok(Some(key))
            }
            None => self.any_key(first),
        }
    }

    /// The usual key, or nothing read: no blank around it, no escape in it, and short enough for one look.
    #[inline(always)]
    fn plain_key(&mut self, first: bool) -> Option<RawString<'a>> {
        let quote = if first { self.at } else { self.at + 1 };
        let rest = self.text.as_bytes().get(self.at..)?;
        let rest = if first { rest } else { rest.strip_prefix(b",")? }.strip_prefix(b"\"")?;
        let key_bytes = string_ends(Lanes::front(rest)).trailing_zeros() as usize;
        // What ends there may also be an escape, a control byte, or sixteen bytes of a longer key.
        if rest.get(key_bytes..key_bytes + 2)? != b"\":" || key_bytes >= LANES {
            return None;
        }
        let raw = rest.get(..key_bytes)?;
        self.at = quote + 1 + key_bytes + 2;
        Some(RawString { raw, escaped: false })
    }

    fn any_key(&mut self, first: &mut bool) -> Result<Option<RawString<'a>>, JsonError> {
        let mut byte = self.skip_blanks();
        if byte == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        if !std::mem::take(first) {
            if byte != Some(b',') {
                return self.refuse();
            }
            self.at += 1;
            byte = self.skip_blanks();
        }
        if byte != Some(b'"') {
            return self.refuse();
        }
        let key = self.string()?;
        if self.skip_blanks() != Some(b':') {
            return self.refuse();
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Inside an array: whether one more value follows (the cursor stands before it), or the array has ended.
    ///
    /// # Errors
    /// Neither a comma nor the array's end stands here.
    #[inline]
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        match self.skip_blanks() {
            // A comma before the bracket leaves the reader at a value that is not there.
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !*first => {
                self.at += 1;
                if self.skip_blanks() == Some(b']') { self.refuse() } else { Ok(true) }
            }
            _ if std::mem::take(first) => Ok(true),
            _ => self.refuse(),
        }
    }

    /// Reads over one value, whatever it is.
    ///
    /// # Errors
    /// No value stands here.
    #[inline]
    pub fn skip_value(&mut self) -> Result<(), JsonError> {
        if self.plain_number().is_some() {
            return Ok(());
        }
        let value = self.value()?;
        self.skip_rest(value)
    }

    /// Reads over what is left of a value that [`Cursor::value`] returned: the inside of a container, nothing of the others.
    ///
    /// # Errors
    /// The inside is malformed, or nested too deep.
    #[inline]
    pub fn skip_rest(&mut self, value: Value<'a>) -> Result<(), JsonError> {
        match value {
            Value::Object | Value::Array => self.skip_container(value == Value::Object),
            _ => Ok(()),
        }
    }

    /// Nothing but blanks may follow.
    ///
    /// # Errors
    /// Something else does.
    pub fn finish(&mut self) -> Result<(), JsonError> {
        if self.skip_blanks().is_none() { Ok(()) } else { self.refuse() }
    }

    /// Without recursion: one bit per open container says whether it is an object.
    fn skip_container(&mut self, is_object: bool) -> Result<(), JsonError> {
        let mut kinds = u128::from(is_object);
        let mut depth = 1_u32;
        let mut first = true;
        while depth > 0 {
            let inside_object = kinds & 1 == 1;
            let more =
                if inside_object { self.next_key(&mut first)?.is_some() } else { self.next_element(&mut first)? };
            if !more {
                kinds >>= 1;
                depth -= 1;
                first = false;
                continue;
            }
            let value = self.value()?;
            if matches!(value, Value::Object | Value::Array) {
                depth += 1;
                if depth >= MAX_DEPTH {
                    return self.refuse();
                }
                kinds = (kinds << 1) | u128::from(value == Value::Object);
                first = true;
            }
        }
        Ok(())
    }

    #[inline]
    fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn refuse<T>(&self) -> Result<T, JsonError> {
        Err(JsonError { at: self.at })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) != Some(word.as_bytes()) {
            return self.refuse();
        }
        self.at = end;
        Ok(value)
    }

    /// Whether an object begins right here; if so, its brace is read.
    #[inline]
    pub(crate) fn plain_object(&mut self) -> bool {
        let begins = self.text.as_bytes().get(self.at) == Some(&b'{');
        self.at += usize::from(begins);
        begins
    }

    /// The usual string value, or nothing read: no blank before it and no escape in it.
    #[inline(never)]
    pub(crate) fn plain_string(&mut self) -> Option<&'a str> {
        let rest = self.text.as_bytes().get(self.at..)?.strip_prefix(b"\"")?;
        let start = self.at + 1;
        let end = start + bytes_before(rest, string_ends);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        let raw = self.text.get(start..end)?;
        self.at = end + 1;
        Some(raw)
    }

    /// The usual number, or nothing read: up to nine digits, no blank before them and a comma or a brace after them.
    #[inline(never)]
    pub(crate) fn plain_number(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..)?;
        let mut value = 0_u32;
        for (count, byte) in digits.iter().take(10).enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 && count < 9 {
                value = value * 10 + u32::from(digit);
                continue;
            }
            let has_leading_zero = count > 1 && digits.first() == Some(&b'0');
            if count == 0 || has_leading_zero || !matches!(byte, b',' | b'}') {
                return None;
            }
            self.at += count;
            return Some(value);
        }
        None
    }

    /// The usual number with a point, or nothing read: digits before and after it, at most 15, and a comma or a brace after
    /// them. The value is the one that the general parser gives: the digits' number and the power of ten are both exact, and
    /// their quotient is rounded once.
    pub(crate) fn plain_decimal(&mut self) -> Option<f64> {
        const POWERS: [f64; 15] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
        let rest = self.text.as_bytes().get(self.at..)?;
        let mut value = 0_u64;
        let mut point = None;
        for (count, byte) in rest.iter().take(17).enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                value = value * 10 + u64::from(digit);
            } else if *byte == b'.' && point.is_none() {
                point = Some(count);
            } else {
                let before_point = point.unwrap_or(count);
                let fraction_digits = match count - before_point {
                    0 => 0,
                    1 => return None,
                    with_point => with_point - 1,
                };
                let has_leading_zero = before_point > 1 && rest.first() == Some(&b'0');
                if before_point == 0 || has_leading_zero || count > 15 || !matches!(byte, b',' | b'}') {
                    return None;
                }
                #[allow(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
                let value = value as f64 / POWERS.get(fraction_digits)?;
                self.at += count;
                return Some(value);
            }
        }
        None
    }

    /// Reads a string; the cursor stands at its opening quote.
    fn string(&mut self) -> Result<RawString<'a>, JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += bytes_before(bytes.get(at..).unwrap_or_default(), string_ends);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += escape_bytes(bytes.get(at..).unwrap_or_default()).ok_or(JsonError { at })?;
                }
                _ => return Err(JsonError { at }),
            }
        }
        self.at = at + 1;
        Ok(RawString { raw: bytes.get(start..at).unwrap_or_default(), escaped })
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start;
        let digits = |from: usize| {
            let rest = bytes.get(from..).unwrap_or_default();
            rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
        };
        if bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let integer = digits(at);
        if integer == 0 || (integer > 1 && bytes.get(at) == Some(&b'0')) {
            return self.refuse();
        }
        at += integer;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return self.refuse();
            }
            at += 1 + fraction;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            let exponent = digits(at);
            if exponent == 0 {
                return self.refuse();
            }
            at += exponent;
        }
        self.at = at;
        self.text.get(start..at).ok_or(JsonError { at: start })
    }
}

/// The bytes at which a string ends or stops being plain: quote, backslash and control characters.
#[inline]
fn string_ends(lanes: Lanes) -> u32 {
    (lanes.equal(b'"') | lanes.equal(b'\\') | lanes.at_most(0x1f)).bits()
}

/// The length of the escape at the front of `bytes`; `None` when it is none.
fn escape_bytes(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => four_hex_digits(bytes.get(2..6)?).map(|_| 6),
        _ => None,
    }
}

fn four_hex_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, byte| Some((value << 4) | char::from(*byte).to_digit(16)?))
}

/// Writes the string whose checked text is `raw`; the number of bytes written, never more than `raw` has.
fn unescape(raw: &[u8], space: &mut [u8]) -> Option<usize> {
    let mut writer = ByteWriter::new(space);
    let mut rest = raw;
    loop {
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        writer.extend(rest.get(..plain)?)?;
        rest = rest.get(plain..)?;
        let Some(kind) = rest.get(1) else {
            return Some(writer.used());
        };
        let mut length = 2;
        match kind {
            b'b' => writer.push(8)?,
            b'f' => writer.push(12)?,
            b'n' => writer.push(b'\n')?,
            b'r' => writer.push(b'\r')?,
            b't' => writer.push(b'\t')?,
            b'u' => {
                let (character, used) = unicode_escape(rest)?;
                let mut encoded = [0; 4];
                writer.extend(character.encode_utf8(&mut encoded).as_bytes())?;
                length = used;
            }
            other => writer.push(*other)?,
        }
        rest = rest.get(length..)?;
    }
}

/// The character of the `\uXXXX` at the front of `rest`, and how many bytes it took: a surrogate takes its other half along.
fn unicode_escape(rest: &[u8]) -> Option<(char, usize)> {
    let unit = four_hex_digits(rest.get(2..6)?)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((character, 6));
    }
    let low = match (unit, rest.get(6..8)) {
        (0xd800..0xdc00, Some(b"\\u")) => rest.get(8..12).and_then(four_hex_digits),
        _ => None,
    };
    let joined = low
        .filter(|low| (0xdc00..0xe000).contains(low))
        .and_then(|low| char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
    Some(joined.map_or((char::REPLACEMENT_CHARACTER, 6), |character| (character, 12)))
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
