//! An event's own properties: names and text, in the order they were sent.
//!
//! As Plausible does: at most 30, further ones are discarded; numbers and booleans become text; lists, objects, null and
//! blank values are discarded; keys and values over their limits refuse the event. A key sent twice keeps its last value, as in
//! any JSON parser.

use super::json::{Cursor, JsonError, Value};
use super::{FirstReject, PayloadLimits, Reject};
use crate::scratch::{Scratch, trim};

/// Props that a record can hold.
pub const MAX_PROPS: usize = 30;

/// The props of one event.
#[derive(Debug, Clone, Default)]
pub struct Props<'a> {
    /// Most events have none, and so nothing is written for them.
    items: Option<[(&'a str, &'a str); MAX_PROPS]>,
    count: usize,
}

impl<'a> Props<'a> {
    /// The props.
    #[must_use]
    pub fn as_slice(&self) -> &[(&'a str, &'a str)] {
        self.items.as_ref().and_then(|items| items.get(..self.count)).unwrap_or_default()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds one, or replaces the value of a key that is there.
    ///
    /// # Errors
    /// The key or the value is over its limit.
    pub fn set(&mut self, key: &'a str, value: &'a str, limits: &PayloadLimits) -> Result<(), Reject> {
        let value = trim(value);
        if key.is_empty() || value.is_empty() {
            return Ok(());
        }
        let items = self.items.get_or_insert([("", ""); MAX_PROPS]);
        let known = items.iter_mut().take(self.count).find(|(known, _)| *known == key);
        if let Some(item) = known {
            if value.len() > limits.prop_value_bytes {
                return Err(Reject { message: "keys or values are too long", ..Reject::too_long("props") });
            }
            item.1 = value;
            return Ok(());
        }
        if self.count >= limits.props.min(MAX_PROPS) {
            return Ok(());
        }
        if key.len() > limits.prop_key_bytes || value.len() > limits.prop_value_bytes {
            return Err(Reject { message: "keys or values are too long", ..Reject::too_long("props") });
        }
        if let Some(item) = items.get_mut(self.count) {
            *item = (key, value);
            self.count += 1;
        }
        Ok(())
    }

    /// Reads a props value: an object, or a string that contains one as JSON. Null and a blank string say nothing.
    ///
    /// # Errors
    /// The text around is not JSON. What is wrong with the props themselves goes to `rejects`.
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        scratch: &mut Scratch<'a>,
        limits: &PayloadLimits,
        rejects: &mut FirstReject,
    ) -> Result<(), JsonError> {
        const NOT_AN_OBJECT: Reject = Reject::field_type("props", "must be an object, or one as a JSON string");
        self.clear();
        match cursor.value()? {
            Value::Null => {}
            Value::Object => self.read_members(cursor, scratch, limits, rejects)?,
            Value::String(raw) => {
                let text = raw.text(scratch).unwrap_or("");
                if !text.trim().is_empty() {
                    let mut inner = Cursor::new(text);
                    let read = match inner.value() {
                        Ok(Value::Object) => {
                            self.read_members(&mut inner, scratch, limits, rejects).and_then(|()| inner.finish())
                        }
                        Ok(Value::Null) => inner.finish(),
                        _ => Err(JsonError { at: 0 }),
                    };
                    if read.is_err() {
                        rejects.note(NOT_AN_OBJECT);
                    }
                }
            }
            other => {
                cursor.skip_rest(other)?;
                rejects.note(NOT_AN_OBJECT);
            }
        }
        Ok(())
    }

    fn read_members(
        &mut self,
        cursor: &mut Cursor<'a>,
        scratch: &mut Scratch<'a>,
        limits: &PayloadLimits,
        rejects: &mut FirstReject,
    ) -> Result<(), JsonError> {
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            let key = key.text(scratch).unwrap_or("");
            let value = match cursor.value()? {
                Value::String(raw) => raw.text(scratch).unwrap_or(""),
                Value::Number(text) => text,
                Value::Bool(true) => "true",
                Value::Bool(false) => "false",
                other => {
                    cursor.skip_rest(other)?;
                    ""
                }
            };
            if let Err(reject) = self.set(key, value, limits) {
                rejects.note(reject);
            }
        }
        Ok(())
    }
}
