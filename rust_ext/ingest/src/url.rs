//! Page URLs, their campaign keys, and referrers: what may be stored of them, and nothing else.
//!
//! Stored of a page: its hostname (lower-case, without `www.`) and its path; with hash routing also the fragment's own
//! path. Of its query string: the UTM values, a `source` or `ref` value, and the *name* of a click-id key. Of a
//! referrer: hostname and path. Every other part of every URL, user names, ports, query strings, fragments, ends here.
//!
//! Percent-encoding is undone where the result is UTF-8, so that one page is one row, except for the characters that
//! would change a path's meaning (`/ ? # %` and control characters), which stay encoded. All strings borrow from the URL
//! or live in the hit's scratch space.

use crate::lanes::{Lanes, bytes_before, none_is};
use crate::scratch::{ByteWriter, Scratch, cut, trim};
use crate::snapshot::hex_digit;

/// Longest hostname (RFC 1035).
const HOSTNAME_MAX_BYTES: usize = 253;

/// The hostname of a page that has none (an app's `file:` or `app:///`), as Plausible names it.
pub const NO_HOSTNAME: &str = "(none)";

/// Schemes whose URLs are not pages.
const REFUSED_SCHEMES: [&str; 6] = ["data", "javascript", "about", "blob", "mailto", "tel"];

/// Why a URL is not a page's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlError {
    /// Not of the form `scheme://host/…`, or with control characters.
    Invalid,
    /// A scheme that no page has.
    Scheme,
}

/// A page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageUrl<'a> {
    /// Lower-case, without `www.`, never empty.
    pub hostname: &'a str,
    /// Begins with `/`; with hash routing `#` and the fragment's path follow.
    pub path: &'a str,
    /// As sent, for [`campaign`]; never stored.
    pub query: &'a str,
}

/// What the query string tells about where the visitor came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Campaign<'a> {
    /// Decoded, cut at the limit; empty = absent.
    pub utm_source: &'a str,
    /// As `utm_source`.
    pub utm_medium: &'a str,
    /// As `utm_source`.
    pub utm_campaign: &'a str,
    /// As `utm_source`.
    pub utm_term: &'a str,
    /// As `utm_source`.
    pub utm_content: &'a str,
    /// The value of `source` or `ref`, the former first.
    pub source_tag: &'a str,
    /// The name of the first click-id key with a value; empty = none.
    pub click_id: &'static str,
}

/// Where a visitor came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Referrer<'a> {
    /// Lower-case, without `www.`; empty = no referrer, or one on the page's own host.
    pub hostname: &'a str,
    /// Hostname and path, without the last slash.
    pub text: &'a str,
}

struct Split<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
    query: &'a str,
    fragment: &'a str,
    /// Path and fragment as they stand beside each other, when no query is between them.
    path_and_fragment: Option<&'a str>,
}

/// Reads a whole URL.
///
/// # Errors
/// It is not a page's.
pub fn parse<'a>(url: &'a str, hash_mode: bool, scratch: &mut Scratch<'a>) -> Result<PageUrl<'a>, UrlError> {
    let split = split(url)?;
    let is_web = is_web_scheme(split.scheme);
    if !is_web && REFUSED_SCHEMES.iter().any(|refused| split.scheme.eq_ignore_ascii_case(refused)) {
        return Err(UrlError::Scheme);
    }
    let hostname = match hostname_of_authority(split.authority, scratch)? {
        "" if is_web => return Err(UrlError::Invalid),
        "" => NO_HOSTNAME,
        hostname => hostname,
    };
    Ok(PageUrl { hostname, path: stored_path(&split, hash_mode, scratch), query: split.query })
}

/// Reads a hostname and a path with query apart from each other; `url` may also be a whole URL, whose hostname then counts
/// if `hostname` is empty.
///
/// # Errors
/// They are not a page's.
pub fn parse_parts<'a>(hostname: &'a str, url: &'a str, scratch: &mut Scratch<'a>) -> Result<PageUrl<'a>, UrlError> {
    let url = trim(url);
    let given = hostname_of_authority(trim(hostname), scratch)?;
    if !url.starts_with(['/', '?', '#']) && scheme_of(url).is_some() {
        let whole = parse(url, false, scratch)?;
        return Ok(PageUrl { hostname: if given.is_empty() { whole.hostname } else { given }, ..whole });
    }
    if has_control(url) {
        return Err(UrlError::Invalid);
    }
    let mut split = split_path(url);
    if !split.path.is_empty() && !split.path.starts_with('/') {
        split.path = scratch.concat(&["/", split.path]).unwrap_or("/");
    }
    let path = stored_path(&split, false, scratch);
    Ok(PageUrl { hostname: if given.is_empty() { NO_HOSTNAME } else { given }, path, query: split.query })
}

/// A site's domain or a hostname as it is looked up: trimmed, lower-case, without `www.` and a final dot.
pub fn bare_hostname<'a>(text: &'a str, scratch: &mut Scratch<'a>) -> &'a str {
    let text = trim(text);
    let lower = scratch.lower(text.strip_suffix('.').unwrap_or(text));
    without_www(lower)
}

/// Without a leading `www.`, unless that is the domain itself (`www.de`).
#[must_use]
pub fn without_www(hostname: &str) -> &str {
    hostname.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(hostname)
}

/// Reads a referrer; one that cannot be read, or lies on the page's own host, is none.
pub fn referrer<'a>(url: &'a str, page_hostname: &str, scratch: &mut Scratch<'a>) -> Referrer<'a> {
    if url.is_empty() {
        return Referrer::default();
    }
    let Ok(split) = split(url) else {
        return Referrer::default();
    };
    let is_app = || ["android-app", "ios-app"].iter().any(|known| split.scheme.eq_ignore_ascii_case(known));
    if !is_web_scheme(split.scheme) && !is_app() {
        return Referrer::default();
    }
    let Ok(hostname) = hostname_of_authority(split.authority, scratch) else {
        return Referrer::default();
    };
    if hostname.is_empty() || hostname == page_hostname {
        return Referrer::default();
    }
    let path = split.path.strip_suffix('/').unwrap_or(split.path);
    let text = if path.is_empty() { Some(hostname) } else { scratch.concat(&[hostname, path]) };
    Referrer { hostname, text: text.unwrap_or(hostname) }
}

/// Reads the campaign keys of a query string; of a key that comes twice the first value that is not blank counts.
pub fn campaign<'a>(query: &'a str, utm_max_bytes: usize, scratch: &mut Scratch<'a>) -> Campaign<'a> {
    let mut found = Campaign::default();
    if query.is_empty() {
        return found;
    }
    let mut source = "";
    let mut reference = "";
    for (key, value) in query_pairs(query) {
        if value.is_empty() {
            continue;
        }
        let slot = match key.as_bytes() {
            b"utm_source" => &mut found.utm_source,
            b"utm_medium" => &mut found.utm_medium,
            b"utm_campaign" => &mut found.utm_campaign,
            b"utm_term" => &mut found.utm_term,
            b"utm_content" => &mut found.utm_content,
            b"source" => &mut source,
            b"ref" => &mut reference,
            key => {
                if found.click_id.is_empty() {
                    found.click_id = click_id_of_key(key);
                }
                continue;
            }
        };
        if slot.is_empty() {
            *slot = cut(trim(decode_value(value, scratch)), utm_max_bytes);
        }
    }
    found.source_tag = if source.is_empty() { reference } else { source };
    found
}

/// The click-id keys, by their platforms' documentation.
fn click_id_of_key(key: &[u8]) -> &'static str {
    match key {
        b"gclid" => "gclid",
        b"gbraid" => "gbraid",
        b"wbraid" => "wbraid",
        b"dclid" => "dclid",
        b"gad_source" => "gad_source",
        b"msclkid" => "msclkid",
        b"fbclid" => "fbclid",
        b"igshid" => "igshid",
        b"ttclid" => "ttclid",
        b"twclid" => "twclid",
        b"li_fat_id" => "li_fat_id",
        b"rdt_cid" => "rdt_cid",
        b"ScCid" => "ScCid",
        b"epik" => "epik",
        b"yclid" => "yclid",
        _ => "",
    }
}

/// Keys and values of a query string, as they are.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A query value decoded: plus signs are blanks. What is not UTF-8 afterwards stays as it was.
pub fn decode_value<'a>(value: &'a str, scratch: &mut Scratch<'a>) -> &'a str {
    if none_is(value.as_bytes(), |lanes| (lanes.equal(b'%') | lanes.equal(b'+')).bits()) {
        return value;
    }
    scratch.write(|space| percent_decode(value.as_bytes(), space, |_| false, true)).unwrap_or(value)
}

fn decode_path<'a>(path: &'a str, scratch: &mut Scratch<'a>) -> &'a str {
    if !has_percent(path) {
        return path;
    }
    let keep = |byte: u8| byte < b' ' || matches!(byte, 0x7f | b'/' | b'?' | b'#' | b'%');
    scratch.write(|space| percent_decode(path.as_bytes(), space, keep, false)).unwrap_or(path)
}

/// Writes `raw` with its escapes undone, except those of bytes that `keep` names; broken escapes stay as they are.
fn percent_decode(raw: &[u8], space: &mut [u8], keep: impl Fn(u8) -> bool, plus_is_blank: bool) -> Option<usize> {
    let mut writer = ByteWriter::new(space);
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after_escape @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) if !keep((high << 4) | low) => {
                    writer.push((high << 4) | low)?;
                    rest = after_escape;
                }
                _ => writer.push(byte)?,
            },
            (b'+', _) if plus_is_blank => writer.push(b' ')?,
            _ => writer.push(byte)?,
        }
    }
    Some(writer.used())
}

fn has_percent(text: &str) -> bool {
    !none_is(text.as_bytes(), |lanes| lanes.equal(b'%').bits())
}

fn has_control(text: &str) -> bool {
    !none_is(text.as_bytes(), |lanes| (lanes.at_most(0x1f) | lanes.equal(0x7f)).bits())
}

/// What stands before and after the first such byte, an ASCII one. (`split_once` with a character costs several times as
/// much on the short texts here.)
#[inline]
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = bytes_before(text.as_bytes(), |lanes| lanes.equal(byte).bits());
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The scheme before the first colon, if what stands there is one.
fn scheme_of(url: &str) -> Option<&str> {
    let (scheme, _) = split_at_byte(url, b':')?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next()?.is_ascii_alphabetic()
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

fn split(url: &str) -> Result<Split<'_>, UrlError> {
    let url = trim(url);
    if has_control(url) {
        return Err(UrlError::Invalid);
    }
    let scheme = usual_scheme(url).or_else(|| scheme_of(url)).ok_or(UrlError::Invalid)?;
    let rest = url.get(scheme.len() + 1..).unwrap_or("");
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(if REFUSED_SCHEMES.contains(&scheme) { UrlError::Scheme } else { UrlError::Invalid });
    };
    let ends = |lanes: Lanes| (lanes.equal(b'/') | lanes.equal(b'?') | lanes.equal(b'#')).bits();
    let end = bytes_before(rest.as_bytes(), ends);
    let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    Ok(Split { scheme, authority, ..split_path(rest) })
}

/// `http` or `https`, in whatever case.
#[inline]
fn is_web_scheme(scheme: &str) -> bool {
    scheme == "https" || scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// The scheme of nearly every page, when the URL begins with it as it is usually written.
#[inline]
fn usual_scheme(url: &str) -> Option<&'static str> {
    if url.starts_with("https:") {
        Some("https")
    } else if url.starts_with("http:") {
        Some("http")
    } else {
        None
    }
}

fn split_path(rest: &str) -> Split<'_> {
    let marks = |lanes: Lanes| (lanes.equal(b'?') | lanes.equal(b'#')).bits();
    let (path, after) = rest.split_at_checked(bytes_before(rest.as_bytes(), marks)).unwrap_or((rest, ""));
    let (query, fragment) = match after.strip_prefix('?') {
        Some(query) => split_at_byte(query, b'#').unwrap_or((query, "")),
        None => ("", after.strip_prefix('#').unwrap_or("")),
    };
    let path_and_fragment = (query.is_empty() && !after.starts_with('?')).then_some(rest);
    Split { scheme: "", authority: "", path, query, fragment, path_and_fragment }
}

/// The bytes of a hostname that is not stored as it was sent: all but lower-case letters, digits, `-`, `.` and `_`.
#[inline]
fn changed_host_bytes(lanes: Lanes) -> u32 {
    let words = lanes.within(b'a', b'z') | lanes.within(b'0', b'9');
    (words | lanes.within(b'-', b'.') | lanes.equal(b'_')).missing_bits()
}

/// Without user name and port, lower-case, without `www.`; empty when there is none.
fn hostname_of_authority<'a>(authority: &'a str, scratch: &mut Scratch<'a>) -> Result<&'a str, UrlError> {
    // Nearly always there is nothing to take off and nothing to change.
    if authority.len() <= HOSTNAME_MAX_BYTES && none_is(authority.as_bytes(), changed_host_bytes) {
        return Ok(without_www(authority.strip_suffix('.').unwrap_or(authority)));
    }
    let plain = none_is(authority.as_bytes(), |lanes| (lanes.equal(b'@') | lanes.equal(b':')).bits());
    let host = if plain { authority } else { authority.rsplit_once('@').map_or(authority, |(_, host)| host) };
    let host = match if plain { None } else { host.rsplit_once(':') } {
        Some((name, port)) if !port.ends_with(']') => {
            if !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(UrlError::Invalid);
            }
            name
        }
        _ => host,
    };
    let is_ipv6 = host.starts_with('[') && host.ends_with(']');
    let fits = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || byte >= 0x80
            || matches!(byte, b'-' | b'.' | b'_')
            || (is_ipv6 && matches!(byte, b'[' | b']' | b':'))
    };
    if host.len() > HOSTNAME_MAX_BYTES || !host.bytes().all(fits) {
        return Err(UrlError::Invalid);
    }
    Ok(bare_hostname(host, scratch))
}

fn stored_path<'a>(split: &Split<'a>, hash_mode: bool, scratch: &mut Scratch<'a>) -> &'a str {
    let fragment = if hash_mode { split.fragment } else { "" };
    // A fragment that routes may carry a query string of its own; it ends here like any other.
    let fragment = split_at_byte(fragment, b'?').map_or(fragment, |(path, _)| path);
    if fragment.is_empty() {
        // What stands here begins with a slash or is empty: nothing is trimmed at its front.
        return match trim(decode_path(split.path, scratch)) {
            "" => "/",
            path => path,
        };
    }
    if let Some(whole) = split.path_and_fragment {
        let length = split.path.len() + 1 + fragment.len();
        let beside = whole.get(..length).unwrap_or("");
        if !split.path.is_empty() && !has_percent(beside) {
            return beside.trim_end();
        }
    }
    let path = if split.path.is_empty() { "/" } else { decode_path(split.path, scratch) };
    let fragment = decode_path(fragment, scratch);
    scratch.concat(&[path.trim_end(), "#", fragment.trim_end()]).unwrap_or("/")
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
