//! The body of `POST /api/event`, and each entry of a server batch: Plausible's keys, long and short, and our own.
//!
//! | key | field |
//! |---|---|
//! | `n`, `name` | event name: `pageview`, `engagement`, `vitals` and `timings` (with `w`), anything else is a custom event |
//! | `u`, `url` | page URL |
//! | `d`, `domain` | site, or several with commas; without it the URL's hostname |
//! | `r`, `referrer` | `document.referrer` |
//! | `m`, `meta`, `p`, `props` | props, an object or one as a JSON string |
//! | `h`, `hashMode` | the fragment belongs to the path |
//! | `i`, `interactive` | false: the event does not end a bounce |
//! | `$`, `revenue` | amount and currency |
//! | `sd`, `e` | scroll depth in percent, engaged milliseconds |
//! | `l`, `q` | page-load id (hex), sequence of the report within it |
//! | `w` | metrics of a vitals or timings report; a number is the window's width, as Plausible's older tracker sends it |
//! | `sw`, `sh` | screen size in px |
//! | `tz`, `lg` | time zone, language |
//! | `wd` | 1: `navigator.webdriver` |
//! | `timestamp`, `user_agent`, `ip` | server batches only: the event's time, agent and address |
//!
//! Where several keys mean one field the short one counts, as in Plausible; of the same key sent twice the last.

use std::net::IpAddr;

use super::json::{Cursor, JsonError, Value};
use super::scalar::{
    any_number, engaged_ms_of, flag, load_id_of, number, number_of_text, revenue, scroll_depth_of, text,
    text_or_number, u16_of,
};
use super::{EventName, FirstReject, HitFields, Page, PayloadLimits, Reject, SiteKey, timestamp};
use crate::scratch::{Scratch, cut, trim};

/// Who may send the event, hence which keys it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A browser: its time, agent and address are those of the request.
    Client,
    /// A server with an API key, on behalf of its visitors.
    Server,
}

/// The fields that have keys of different rank.
#[derive(Debug, Default)]
struct Ranked<'a> {
    name: Option<&'a str>,
    url: Option<&'a str>,
    domain: Option<&'a str>,
    referrer: Option<&'a str>,
    /// Whether the short key of each of these was seen, and the rank of the props that are held.
    short_name: bool,
    short_url: bool,
    short_domain: bool,
    short_referrer: bool,
    short_hash: bool,
    short_interactive: bool,
    short_revenue: bool,
    props_rank: u8,
}

/// Reads one event.
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
    let mut ranked = Ranked::default();
    let mut has_metrics = false;
    let mut cursor = Cursor::new(body);
    let read = read_members(&mut cursor, sender, limits, scratch, fields, &mut ranked, &mut has_metrics, &mut rejects);
    // What was read before the text broke off still names the site.
    fields.site = match ranked.domain {
        Some(domains) => SiteKey::Domains(domains),
        None => SiteKey::PageHostname,
    };
    match read {
        Ok(true) => {}
        Ok(false) => return Err(Reject::json("must be a JSON object")),
        Err(_) => return Err(Reject::json("is not valid JSON")),
    }
    if ranked.domain.is_some_and(|domains| trim(domains).is_empty()) {
        rejects.note(Reject { message: "must not be blank", ..Reject::missing("domain") });
    }
    match ranked.url {
        None => rejects.note(Reject::missing("url")),
        Some(url) if trim(url).is_empty() => {
            rejects.note(Reject { message: "must not be blank", ..Reject::missing("url") });
        }
        Some(url) if url.len() > limits.url_bytes => rejects.note(Reject::too_long("url")),
        Some(url) => fields.page = Page::Url(url),
    }
    fields.referrer = cut(ranked.referrer.unwrap_or(""), limits.referrer_bytes);
    fields.name =
        rejects.take(event_name(ranked.name, has_metrics, fields, limits).map(Some)).unwrap_or(EventName::Pageview);
    rejects.into_result()
}

fn event_name<'a>(
    name: Option<&'a str>,
    has_metrics: bool,
    fields: &HitFields<'a>,
    limits: &PayloadLimits,
) -> Result<EventName<'a>, Reject> {
    let name = trim(name.unwrap_or(""));
    if name.len() > limits.name_bytes {
        return Err(Reject::too_long("name"));
    }
    let needs_metrics = |event| {
        if fields.metrics.as_slice().is_empty() {
            Err(Reject { message: "has none that is known", ..Reject::missing("metrics") })
        } else {
            Ok(event)
        }
    };
    match name {
        "" => Err(Reject::missing("name")),
        "pageview" => Ok(EventName::Pageview),
        "engagement" if fields.scroll_depth_percent.is_none() && fields.engaged_ms.is_none() => {
            Err(Reject { message: "needs scroll depth or engaged time", ..Reject::missing("engagement") })
        }
        "engagement" => Ok(EventName::Engagement),
        // Without metrics these are names that a site may have chosen for events of its own.
        "vitals" if has_metrics => needs_metrics(EventName::Vitals),
        "timings" if has_metrics => needs_metrics(EventName::Timings),
        _ => Ok(EventName::Custom(name)),
    }
}

/// Reads the members; false when the text is JSON but no object.
#[allow(clippy::too_many_arguments, reason = "one caller; a struct would only rename them")]
fn read_members<'a>(
    cursor: &mut Cursor<'a>,
    sender: Sender,
    limits: &PayloadLimits,
    scratch: &mut Scratch<'a>,
    fields: &mut HitFields<'a>,
    ranked: &mut Ranked<'a>,
    has_metrics: &mut bool,
    rejects: &mut FirstReject,
) -> Result<bool, JsonError> {
    if !cursor.plain_object() {
        let value = cursor.value()?;
        if value != Value::Object {
            cursor.skip_rest(value)?;
            cursor.finish()?;
            return Ok(false);
        }
    }
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        match key.bytes(scratch) {
            b"n" => prefer(
                &mut ranked.name,
                &mut ranked.short_name,
                true,
                text_or_number(cursor, scratch, "name", rejects)?,
            ),
            b"name" => {
                prefer(
                    &mut ranked.name,
                    &mut ranked.short_name,
                    false,
                    text_or_number(cursor, scratch, "name", rejects)?,
                );
            }
            b"u" => prefer(&mut ranked.url, &mut ranked.short_url, true, text(cursor, scratch, "url", rejects)?),
            b"url" => prefer(&mut ranked.url, &mut ranked.short_url, false, text(cursor, scratch, "url", rejects)?),
            b"d" => {
                prefer(&mut ranked.domain, &mut ranked.short_domain, true, text(cursor, scratch, "domain", rejects)?)
            }
            b"domain" => {
                prefer(&mut ranked.domain, &mut ranked.short_domain, false, text(cursor, scratch, "domain", rejects)?);
            }
            b"r" => {
                prefer(
                    &mut ranked.referrer,
                    &mut ranked.short_referrer,
                    true,
                    text(cursor, scratch, "referrer", rejects)?,
                );
            }
            b"referrer" => {
                prefer(
                    &mut ranked.referrer,
                    &mut ranked.short_referrer,
                    false,
                    text(cursor, scratch, "referrer", rejects)?,
                );
            }
            b"m" => read_props(4, ranked, cursor, scratch, limits, fields, rejects)?,
            b"meta" => read_props(3, ranked, cursor, scratch, limits, fields, rejects)?,
            b"p" => read_props(2, ranked, cursor, scratch, limits, fields, rejects)?,
            b"props" => read_props(1, ranked, cursor, scratch, limits, fields, rejects)?,
            key @ (b"h" | b"hashMode") => {
                let value = flag(cursor, scratch, "hash_mode", rejects)?;
                let mut held = Some(fields.hash_mode);
                prefer(&mut held, &mut ranked.short_hash, key.len() == 1, value);
                fields.hash_mode = held.unwrap_or(false);
            }
            key @ (b"i" | b"interactive") => {
                let value = flag(cursor, scratch, "interactive", rejects)?;
                prefer(&mut fields.interactive, &mut ranked.short_interactive, key.len() == 1, value);
            }
            key @ (b"$" | b"revenue") => {
                let value = revenue(cursor, scratch, rejects)?;
                prefer(&mut fields.revenue, &mut ranked.short_revenue, key.len() == 1, value);
            }
            b"sd" => {
                if let Some(value) = number(cursor, scratch, "scroll_depth", rejects)? {
                    fields.scroll_depth_percent = scroll_depth_of(value);
                }
            }
            b"e" => {
                if let Some(value) = number(cursor, scratch, "engaged_time", rejects)? {
                    fields.engaged_ms = Some(engaged_ms_of(value));
                }
            }
            b"l" => {
                if let Some(value) = text(cursor, scratch, "load_id", rejects)? {
                    fields.load_id = rejects.take(load_id_of(value));
                }
            }
            b"q" => fields.sequence = small(cursor, scratch, "sequence", rejects, fields.sequence)?,
            b"sw" => fields.screen_width_px = small(cursor, scratch, "screen", rejects, fields.screen_width_px)?,
            b"sh" => fields.screen_height_px = small(cursor, scratch, "screen", rejects, fields.screen_height_px)?,
            b"w" => match fields.metrics.read_object(cursor, scratch, rejects)? {
                Some(width) => {
                    let width = number_of_text(width, "screen").and_then(|width| u16_of(width, "screen"));
                    fields.screen_width_px = rejects.take(width);
                }
                None => *has_metrics = true,
            },
            b"tz" => fields.timezone = text(cursor, scratch, "timezone", rejects)?.unwrap_or(fields.timezone),
            b"lg" => fields.language = text(cursor, scratch, "language", rejects)?.unwrap_or(fields.language),
            b"wd" => fields.webdriver |= flag(cursor, scratch, "webdriver", rejects)?.unwrap_or(false),
            b"timestamp" if sender == Sender::Server => read_timestamp(cursor, scratch, fields, rejects)?,
            b"user_agent" if sender == Sender::Server => {
                fields.user_agent = text(cursor, scratch, "user_agent", rejects)?;
            }
            b"ip" if sender == Sender::Server => {
                if let Some(value) = text(cursor, scratch, "ip", rejects)? {
                    fields.address = rejects.take(address_of(value).map(Some));
                }
            }
            _ => cursor.skip_value()?,
        }
    }
    cursor.finish()?;
    Ok(true)
}

/// Keeps `value` if its key outranks the one that is held, or is the same. Null never replaces anything.
#[inline]
fn prefer<T>(held: &mut Option<T>, held_is_short: &mut bool, is_short: bool, value: Option<T>) {
    if value.is_some() && (is_short || !*held_is_short) {
        *held = value;
        *held_is_short = is_short;
    }
}

fn read_props<'a>(
    rank: u8,
    ranked: &mut Ranked<'a>,
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    limits: &PayloadLimits,
    fields: &mut HitFields<'a>,
    rejects: &mut FirstReject,
) -> Result<(), JsonError> {
    let mut probe = cursor.clone();
    if rank < ranked.props_rank || probe.value()? == Value::Null {
        return cursor.skip_value();
    }
    ranked.props_rank = rank;
    fields.props.read(cursor, scratch, limits, rejects)
}

#[inline]
fn small<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
    held: u16,
) -> Result<u16, JsonError> {
    if let Some(plain) = cursor.plain_number() {
        return Ok(u16::try_from(plain).unwrap_or_else(|_| rejects.take(u16_of(f64::from(plain), field))));
    }
    any_small(cursor, scratch, field, rejects, held)
}

#[inline(never)]
fn any_small<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    field: &'static str,
    rejects: &mut FirstReject,
    held: u16,
) -> Result<u16, JsonError> {
    Ok(match any_number(cursor, scratch, field, rejects)? {
        Some(value) => rejects.take(u16_of(value, field)),
        None => held,
    })
}

fn read_timestamp<'a>(
    cursor: &mut Cursor<'a>,
    scratch: &mut Scratch<'a>,
    fields: &mut HitFields<'a>,
    rejects: &mut FirstReject,
) -> Result<(), JsonError> {
    let time_ms = match cursor.value()? {
        Value::Null => return Ok(()),
        Value::Number(text) => timestamp::from_number(text),
        Value::String(raw) => raw.text(scratch).and_then(timestamp::from_text),
        other => {
            cursor.skip_rest(other)?;
            None
        }
    };
    if time_ms.is_none() {
        rejects.note(Reject::field_type("timestamp", "must be ISO 8601 or an epoch time"));
    }
    fields.time_ms = time_ms;
    Ok(())
}

/// An address's text.
///
/// # Errors
/// It is none.
pub(crate) fn address_of(text: &str) -> Result<IpAddr, Reject> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) => Err(Reject::field_type("ip", "must be an IP address")),
    }
}
