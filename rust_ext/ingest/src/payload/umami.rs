//! The body of Umami's `POST /api/send`, and each entry of its `POST /api/batch`.
//!
//! `{"type": "event" | "identify" | "performance", "payload": {…}}`. Without a `name` an event is a page view. Of the payload
//! `title`, `browser`, `os`, `device`, `id` and `vid` are not stored: the first says nothing a path does not, the next three are
//! ours to find out, and the last two follow a person over days. `tag` becomes a prop of that name. `ip` and `userAgent`
//! count only from a sender with an API key.

use super::event::{Sender, address_of};
use super::json::{Cursor, JsonError, Value};
use super::metrics::metric_of_name;
use super::scalar::{screen_of_text, text, text_or_number};
use super::{EventName, FirstReject, HitFields, Page, PayloadLimits, Reject, SiteKey, timestamp};
use crate::scratch::{Scratch, cut};

/// Umami's limit for a hostname; longer ones are refused.
const HOSTNAME_MAX_BYTES: usize = 100;
/// Umami's limit for a language; longer ones are refused.
const LANGUAGE_MAX_BYTES: usize = 35;
/// Umami's limit for a screen size; longer ones are refused.
const SCREEN_MAX_BYTES: usize = 11;
/// Umami's limit for an event name and for a tag; longer ones are refused.
const NAME_MAX_BYTES: usize = 50;
/// Umami cuts a URL's parts here.
const PATH_MAX_BYTES: usize = 500;

#[derive(Debug, Default)]
struct Parts<'a> {
    kind: Option<&'a str>,
    has_payload: bool,
    website: Option<&'a str>,
    hostname: &'a str,
    url: Option<&'a str>,
    name: Option<&'a str>,
}

/// Reads one Umami message.
///
/// # Errors
/// The first thing that is wrong with it. `fields` then holds what could be read, the site above all.
pub fn decode<'a>(
    body: &'a str,
    sender: Sender,
    limits: &PayloadLimits,
    scratch: &mut Scratch<'a>,
    fields: &mut HitFields<'a>,
) -> Result<(), Reject> {
    let mut rejects = FirstReject::default();
    let mut parts = Parts::default();
    let mut cursor = Cursor::new(body);
    let read = read_message(&mut cursor, sender, limits, scratch, fields, &mut parts, &mut rejects);
    fields.site = SiteKey::PublicId(parts.website.unwrap_or(""));
    match read {
        Ok(true) => {}
        Ok(false) => return Err(Reject::json("must be a JSON object")),
        Err(_) => return Err(Reject::json("is not valid JSON")),
    }
    if !parts.has_payload {
        rejects.note(Reject::missing("payload"));
    }
    if parts.website.is_none_or(str::is_empty) {
        rejects.note(Reject::missing("website"));
    }
    if parts.hostname.len() > HOSTNAME_MAX_BYTES {
        rejects.note(Reject::too_long("hostname"));
    }
    if parts.name.is_some_and(|name| name.len() > NAME_MAX_BYTES) {
        rejects.note(Reject::too_long("name"));
    }
    fields.page =
        Page::Parts { hostname: parts.hostname, url: parts.url.unwrap_or(""), path_max_bytes: PATH_MAX_BYTES };
    let name = parts.name.unwrap_or("").trim();
    fields.name = match parts.kind {
        Some("event") | None if name.is_empty() => EventName::Pageview,
        Some("event") | None => EventName::Custom(name),
        Some("performance") if fields.metrics.as_slice().is_empty() => {
            rejects.note(Reject { message: "has none that is known", ..Reject::missing("metrics") });
            EventName::Vitals
        }
        Some("performance") => EventName::Vitals,
        Some("identify") => EventName::Unsupported,
        Some(_) => {
            rejects.note(Reject::field_type("type", "must be event, identify or performance"));
            EventName::Unsupported
        }
    };
    rejects.into_result()
}

fn read_message<'a>(
    cursor: &mut Cursor<'a>,
    sender: Sender,
    limits: &PayloadLimits,
    scratch: &mut Scratch<'a>,
    fields: &mut HitFields<'a>,
    parts: &mut Parts<'a>,
    rejects: &mut FirstReject,
) -> Result<bool, JsonError> {
    let value = cursor.value()?;
    if value != Value::Object {
        cursor.skip_rest(value)?;
        cursor.finish()?;
        return Ok(false);
    }
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        match key.bytes(scratch) {
            b"type" => parts.kind = text(cursor, scratch, "type", rejects)?,
            b"payload" => match cursor.value()? {
                Value::Object => {
                    parts.has_payload = true;
                    read_payload(cursor, sender, limits, scratch, fields, parts, rejects)?;
                }
                other => {
                    cursor.skip_rest(other)?;
                    rejects.note(Reject::field_type("payload", "must be an object"));
                }
            },
            _ => cursor.skip_value()?,
        }
    }
    cursor.finish()?;
    Ok(true)
}

fn read_payload<'a>(
    cursor: &mut Cursor<'a>,
    sender: Sender,
    limits: &PayloadLimits,
    scratch: &mut Scratch<'a>,
    fields: &mut HitFields<'a>,
    parts: &mut Parts<'a>,
    rejects: &mut FirstReject,
) -> Result<(), JsonError> {
    let mut tag = None;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        match key.bytes(scratch) {
            b"website" => parts.website = text(cursor, scratch, "website", rejects)?,
            b"hostname" => parts.hostname = text(cursor, scratch, "hostname", rejects)?.unwrap_or(""),
            b"url" => parts.url = text(cursor, scratch, "url", rejects)?,
            b"referrer" => {
                let referrer = text(cursor, scratch, "referrer", rejects)?.unwrap_or("");
                fields.referrer = cut(referrer, limits.referrer_bytes);
            }
            b"name" => parts.name = text_or_number(cursor, scratch, "name", rejects)?,
            b"data" => fields.props.read(cursor, scratch, limits, rejects)?,
            b"tag" => tag = text(cursor, scratch, "tag", rejects)?,
            b"screen" => {
                let screen = text(cursor, scratch, "screen", rejects)?.unwrap_or("");
                if screen.len() > SCREEN_MAX_BYTES {
                    rejects.note(Reject::too_long("screen"));
                }
                (fields.screen_width_px, fields.screen_height_px) = screen_of_text(screen).unwrap_or((0, 0));
            }
            b"language" => {
                fields.language = text(cursor, scratch, "language", rejects)?.unwrap_or("");
                if fields.language.len() > LANGUAGE_MAX_BYTES {
                    rejects.note(Reject::too_long("language"));
                }
            }
            b"timestamp" => match cursor.value()? {
                Value::Null => {}
                Value::Number(text) => fields.time_ms = timestamp::from_number(text),
                other => {
                    cursor.skip_rest(other)?;
                    rejects.note(Reject::field_type("timestamp", "must be a number of seconds"));
                }
            },
            b"userAgent" if sender == Sender::Server => {
                fields.user_agent = text(cursor, scratch, "userAgent", rejects)?;
            }
            b"ip" if sender == Sender::Server => {
                if let Some(value) = text(cursor, scratch, "ip", rejects)? {
                    fields.address = rejects.take(address_of(value).map(Some));
                }
            }
            key => match metric_of_name(key) {
                Some(metric) => fields.metrics.read_one(metric, cursor, rejects)?,
                None => cursor.skip_value()?,
            },
        }
    }
    if let Some(tag) = tag {
        if tag.len() > NAME_MAX_BYTES {
            rejects.note(Reject::too_long("tag"));
        } else {
            rejects.take(fields.props.set("tag", tag, limits));
        }
    }
    Ok(())
}
