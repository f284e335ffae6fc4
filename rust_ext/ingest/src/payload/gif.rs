//! The query of `GET /hit.gif`: page views without JavaScript, mails, and the beacons of GoatCounter and Panelbear.
//!
//! | key | field |
//! |---|---|
//! | `d`, `domain`, `pid`, `site` | site: domain or public id |
//! | `u`, `url` | page URL |
//! | `p` | path, on the host of `d` when that is a domain (GoatCounter) |
//! | `r`, `referrer` | referrer |
//! | `e`, `event`, `n` | event name; `true` says that `p` is the name (GoatCounter) |
//! | `s`, `screen_width`, `sw`, `sh` | screen: `width,height,scale`, or one by one |
//! | `b` | GoatCounter's own suspicion of a driven browser, anything but 0 |
//! | `tz`, `timezone`, `lg`, `user_language`, `language` | time zone, language |
//! | `utm_source`, `utm_medium`, `utm_campaign` | beside the URL (Panelbear) |
//! | `dns`, `connect`, `ssl`, … | metrics by their names, of event `timings` or `vitals` |
//! | `t`, `title`, `q`, `rnd`, … | read over |
//!
//! With neither `u` nor `p` the page is the one whose `Referer` the request carries: an `<img>` needs only its site's name.

use super::metrics::metric_of_name;
use super::scalar::{flag_of_text, number_of_text, screen_of_text, u16_of};
use super::{EventName, FirstReject, HitFields, Page, PayloadLimits, Reject, SiteKey};
use crate::scratch::{Scratch, cut};
use crate::url::{decode_value, query_pairs};

/// Reads the query. `referer` is the request's header, if any.
///
/// # Errors
/// The first thing that is wrong with it. `fields` then holds what could be read, the site above all.
pub fn decode<'a>(
    query: &'a str,
    referer: Option<&'a str>,
    limits: &PayloadLimits,
    scratch: &mut Scratch<'a>,
    fields: &mut HitFields<'a>,
) -> Result<(), Reject> {
    let mut rejects = FirstReject::default();
    let (mut site, mut url, mut path, mut name) = ("", "", "", "");
    for (key, raw) in query_pairs(query) {
        let value = decode_value(raw, scratch);
        if value.is_empty() {
            continue;
        }
        match key.as_bytes() {
            b"d" | b"domain" | b"pid" | b"site" => site = value,
            b"u" | b"url" => url = value,
            b"p" => path = value,
            b"r" | b"referrer" => fields.referrer = cut(value, limits.referrer_bytes),
            b"e" | b"event" | b"n" => name = value,
            b"s" => (fields.screen_width_px, fields.screen_height_px) = screen_of_text(value).unwrap_or((0, 0)),
            b"screen_width" | b"sw" => fields.screen_width_px = rejects.take(pixels(value)),
            b"sh" => fields.screen_height_px = rejects.take(pixels(value)),
            b"b" => fields.webdriver |= value != "0",
            b"tz" | b"timezone" => fields.timezone = value,
            b"lg" | b"user_language" | b"language" => fields.language = value,
            b"utm_source" => fields.utm_beside_url[0] = cut(value.trim(), limits.utm_bytes),
            b"utm_medium" => fields.utm_beside_url[1] = cut(value.trim(), limits.utm_bytes),
            b"utm_campaign" => fields.utm_beside_url[2] = cut(value.trim(), limits.utm_bytes),
            key => {
                if let Some(metric) = metric_of_name(key) {
                    rejects.take(fields.metrics.set(metric, value));
                }
            }
        }
    }
    fields.site = if site.is_empty() { SiteKey::PageHostname } else { SiteKey::Domains(site) };
    let event_in_path = flag_of_text(name) == Some(true);
    if event_in_path {
        name = std::mem::take(&mut path).trim_start_matches('/');
    }
    if url.is_empty() && path.is_empty() {
        url = referer.unwrap_or("");
    }
    fields.page = match (url, path) {
        ("", path) => {
            // A site named by its domain lends the page its host; a mail or an event has no page at all.
            let hostname = if site.contains([',', '.']) { site.split(',').next().unwrap_or("") } else { "" };
            Page::Parts { hostname, url: path, path_max_bytes: limits.url_bytes }
        }
        (url, _) if url.len() > limits.url_bytes => {
            rejects.note(Reject::too_long("url"));
            Page::Url(url)
        }
        (url, _) => Page::Url(url),
    };
    if path.len() > limits.url_bytes {
        rejects.note(Reject::too_long("url"));
    }
    if site.is_empty() && url.is_empty() {
        rejects.note(Reject::missing("domain"));
    }
    if name.len() > limits.name_bytes {
        rejects.note(Reject::too_long("name"));
    }
    let has_metrics = !fields.metrics.as_slice().is_empty();
    fields.name = match name.trim() {
        // Panelbear's one event was a page view with its timings; the view is what counts.
        "" | "pageview" | "page_view" | "false" => EventName::Pageview,
        "vitals" if has_metrics => EventName::Vitals,
        "timings" if has_metrics => EventName::Timings,
        name => EventName::Custom(name),
    };
    rejects.into_result()
}

fn pixels(value: &str) -> Result<u16, Reject> {
    u16_of(number_of_text(value, "screen")?, "screen")
}
