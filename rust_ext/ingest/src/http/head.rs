//! One request head: syntax by httparse, then everything that decides where the request ends and who takes it.
//!
//! httparse already refuses control bytes, blanks before a colon, folded lines and bare CR. It lets a bare LF end a
//! line; that is refused here, because a proxy in front may not have seen a line end there.
//!
//! A head is judged only when all of it has arrived, or when it is over a limit, so that the verdict does not depend on
//! how the bytes were cut.
use super::HitHeaders;
use super::client_address::ProxyTrust;
use super::limits::Limits;
use super::rejection::Rejection;
use super::response::is_token_byte;
use crate::lanes::{Lanes, bytes_before, none_is};
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// Room for header lines; `Limits::max_headers` may only be lower.
pub(super) const HEADER_SLOTS: usize = 128;
/// Room for a head's header lines on the caller's stack: 4 KiB that stay uninitialised.
pub(super) type HeaderSlots<'input> = [MaybeUninit<Header<'input>>; HEADER_SLOTS];

pub(super) const fn header_slots<'input>() -> HeaderSlots<'input> {
    [const { MaybeUninit::uninit() }; HEADER_SLOTS]
}

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// `Content-Length`, or 0 without one.
    Fixed(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A complete, valid head.
#[derive(Debug)]
pub(super) struct Head<'room, 'input> {
    pub method: &'input str,
    /// Origin-form, scheme and authority of an absolute form removed; may lack the leading `/` only before `?` or for
    /// `*`.
    pub target: &'input str,
    /// The target up to `?`; never empty.
    pub path: &'input [u8],
    /// The target after `?`.
    pub query: &'input [u8],
    /// The authority of an absolute-form target: takes the place of `Host`.
    pub authority: Option<&'input str>,
    pub minor_version: u8,
    /// Every header line; none of a head that [`super::plain_head`] read, which is a hit's and needs no more than
    /// `hit_headers`.
    pub headers: &'room [Header<'input>],
    pub hit_headers: &'room HitHeaders<'input>,
    pub body: BodyLength,
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// How often the header that `ProxyTrust` names occurs, and its first value.
    pub forwarded: Forwarded<'input>,
    /// From the input's start to the body's first byte.
    pub bytes: usize,
}

/// Parses the head at the input's start: `None` while more bytes are needed. `slots` and `fields` are fresh room for
/// its parts; `trust` is that of a trusted peer.
pub(super) fn parse<'room, 'input>(
    input: &'input [u8],
    slots: &'room mut HeaderSlots<'input>,
    fields: &'room mut Fields<'input>,
    limits: &Limits,
    trust: Option<&ProxyTrust>,
) -> Result<Option<Head<'room, 'input>>, Rejection> {
    // RFC 9112 §2.2: one empty line before a request line is ignored (an old client's extra CRLF after a body).
    let (skipped_bytes, input) = match input {
        [b'\r', b'\n', rest @ ..] => (2, rest),
        [] | [b'\r'] => return Ok(None),
        _ => (0, input),
    };
    match input.first() {
        None => return Ok(None),
        Some(&byte) if !is_token_byte(byte) => return Err(Rejection::Malformed), // TLS, PROXY v2, noise: say so at once
        Some(_) => {}
    }
    let slots = slots.get_mut(..limits.max_headers.min(HEADER_SLOTS)).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let bytes = match request.parse_with_uninit_headers(input, slots) {
        Ok(Status::Complete(bytes)) => bytes,
        Ok(Status::Partial) => return judge_incomplete(input, None, limits),
        Err(error) => return judge_incomplete(input, Some(error), limits),
    };
    let httparse::Request { method: Some(method), path: Some(full_target), version: Some(minor_version), headers } =
        request
    else {
        return Err(Rejection::Malformed);
    };
    let request_line_bytes = method.len() + full_target.len() + " ".len() + " HTTP/1.1".len();
    if request_line_bytes > limits.max_request_line_bytes {
        return Err(Rejection::TargetTooLong);
    }
    if bytes > limits.max_head_bytes {
        return Err(Rejection::HeadTooLarge);
    }
    let headers: &'room [Header<'input>] = headers;
    if !ends_lines_with_crlf(input, bytes, headers) {
        return Err(Rejection::Malformed);
    }
    let (target, authority) = split_target(method, full_target)?;
    let (path, query) = split_query(target)?;
    for header in headers {
        fields.take(header.name.as_bytes(), header.value, minor_version, trust)?;
    }
    let bytes = skipped_bytes + bytes;
    fields.judge(RequestLine { method, target, path, query, authority, minor_version }, headers, bytes).map(Some)
}

/// What a request line says.
pub(super) struct RequestLine<'input> {
    pub method: &'input str,
    pub target: &'input str,
    pub path: &'input [u8],
    pub query: &'input [u8],
    pub authority: Option<&'input str>,
    pub minor_version: u8,
}

/// A head that httparse did not take: over a limit, wrong, or not all there.
#[cold]
fn judge_incomplete<T>(input: &[u8], error: Option<httparse::Error>, limits: &Limits) -> Result<Option<T>, Rejection> {
    let line_window = input.get(..limits.max_request_line_bytes + "\r\n".len());
    if line_window.is_some_and(|window| memchr::memchr(b'\n', window).is_none()) {
        return Err(Rejection::TargetTooLong);
    }
    let head_window = input.get(..limits.max_head_bytes).unwrap_or(input);
    if !holds_blank_line(head_window) {
        return if input.len() > limits.max_head_bytes { Err(Rejection::HeadTooLarge) } else { Ok(None) };
    }
    match error {
        Some(httparse::Error::TooManyHeaders) => Err(Rejection::HeadTooLarge),
        Some(httparse::Error::Version) if input.starts_with(b"PRI * HTTP/2.0\r\n") => Err(Rejection::Http2Preface),
        Some(httparse::Error::Version) if names_other_version(input) => Err(Rejection::Version),
        _ => Err(Rejection::Malformed),
    }
}

fn holds_blank_line(window: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', window)
        .any(|index| matches!(window.get(index + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..])))
}

/// Whether the request line is well formed but for an HTTP version that this is not.
fn names_other_version(input: &[u8]) -> bool {
    let line = input.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    words.next().is_none()
        && matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Whether CRLF stands before each header line and at the head's end; httparse would also take a bare LF.
fn ends_lines_with_crlf(input: &[u8], head_bytes: usize, headers: &[Header<'_>]) -> bool {
    let start = input.as_ptr().addr();
    let preceded = headers.iter().all(|header| {
        let offset = header.name.as_ptr().addr().wrapping_sub(start);
        input.get(offset.wrapping_sub(2)..offset) == Some(b"\r\n")
    });
    preceded && input.get(head_bytes.wrapping_sub(4)..head_bytes) == Some(b"\r\n\r\n")
}

/// The origin-form target, and the authority when it came in absolute form.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(&'a str, Option<&'a str>), Rejection> {
    if method == "CONNECT" {
        return Err(Rejection::NotAProxy);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target, None));
    }
    let rest =
        strip_scheme(target, "http://").or_else(|| strip_scheme(target, "https://")).ok_or(Rejection::Malformed)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_host(authority.as_bytes()) {
        return Err(Rejection::Host);
    }
    Ok((if path.is_empty() { "/" } else { path }, Some(authority)))
}

fn strip_scheme<'a>(target: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Path and query. A fragment never belongs into a request (RFC 9112 §3.2).
pub(super) fn split_query(target: &str) -> Result<(&[u8], &[u8]), Rejection> {
    let target = target.as_bytes();
    let marks = |lanes: Lanes| (lanes.equal(b'?') | lanes.equal(b'#')).bits();
    match target.split_at_checked(bytes_before(target, marks)) {
        None | Some((_, [])) => Ok((target, b"")),
        Some((path, [b'?', query @ ..])) if none_is(query, |lanes| lanes.equal(b'#').bits()) => {
            Ok((if path.is_empty() { b"/" } else { path }, query))
        }
        Some(_) => Err(Rejection::Malformed),
    }
}

/// The bytes that RFC 3986 has in an authority, without user information.
const HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        let is_punctuation =
            matches!(byte, b'!' | b'$' | b'&'..=b'.' | b':' | b';' | b'=' | b'[' | b']' | b'_' | b'~' | b'%');
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte as usize] = byte.is_ascii_alphanumeric() || is_punctuation;
        }
        byte += 1;
    }
    table
};

/// A `Host` value or an authority: never empty.
fn is_host(value: &[u8]) -> bool {
    // Nearly always letters, digits, `-`, `.` and `:`, which are all from `-` to `:` but the slash.
    let unusual = |lanes: Lanes| (lanes.letters() | lanes.within(b'-', b':')).missing_bits() | lanes.equal(b'/').bits();
    !value.is_empty()
        && (none_is(value, unusual) || value.iter().all(|byte| HOST_BYTES.get(usize::from(*byte)) == Some(&true)))
}

/// What one pass over the header lines finds.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    hit_headers: HitHeaders<'a>,
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
    expects_continue: bool,
    forwarded: Forwarded<'a>,
}

/// The header that names the client, as far as one pass over the lines sees it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Forwarded<'a> {
    pub lines: usize,
    pub first: &'a [u8],
}

/// Whether the name is this one of letters, digits and hyphens, in whatever case. Setting the letter-case bit is exact for
/// those and the bytes that a token can hold. Eight bytes, or four of a short name, are compared at once, the last ones
/// perhaps for the second time.
#[inline(always)]
pub(super) fn is_named(name: &[u8], lower: &[u8]) -> bool {
    const CASE_BITS: u64 = 0x2020_2020_2020_2020;
    let eight = |block: &[u8; 8]| u64::from_le_bytes(*block) | CASE_BITS;
    let four = |block: &[u8; 4]| u64::from(u32::from_le_bytes(*block)) | CASE_BITS;
    if name.len() != lower.len() {
        return false;
    }
    if let (Some(last), Some(lower_last)) = (name.last_chunk(), lower.last_chunk()) {
        let mut blocks = name.as_chunks().0.iter().zip(lower.as_chunks().0);
        return eight(last) == eight(lower_last) && blocks.all(|(one, other)| eight(one) == eight(other));
    }
    if let (Some(last), Some(lower_last)) = (name.last_chunk(), lower.last_chunk()) {
        let mut blocks = name.as_chunks().0.iter().zip(lower.as_chunks().0);
        return four(last) == four(lower_last) && blocks.all(|(one, other)| four(one) == four(other));
    }
    name.iter().zip(lower).all(|(byte, lower)| byte | 0x20 == lower | 0x20)
}

/// Sets the field when the name is really this one and none came before it. The caller has compared length and first
/// byte.
#[inline]
fn keep<'a>(field: &mut Option<&'a [u8]>, name: &[u8], value: &'a [u8], lower: &[u8]) {
    if field.is_none() && is_named(name, lower) {
        *field = Some(value);
    }
}

impl<'a> Fields<'a> {
    /// Looks one header line up by its name's length and first letter: one comparison for a known name, none for most
    /// others.
    #[inline]
    pub(super) fn take(
        &mut self,
        name: &'a [u8],
        value: &'a [u8],
        minor_version: u8,
        trust: Option<&ProxyTrust>,
    ) -> Result<(), Rejection> {
        if trust.is_some_and(|trust| trust.is_forwarded_header(name)) {
            if self.forwarded.lines == 0 {
                self.forwarded.first = value;
            }
            self.forwarded.lines += 1;
        }
        let hit = &mut self.hit_headers;
        let first = name.first().map_or(0, |byte| byte | 0x20);
        match (name.len(), first) {
            (4, b'h') if is_named(name, b"host") => {
                if self.host.is_some() || !is_host(value) {
                    return Err(Rejection::Host);
                }
                self.host = Some(value);
            }
            (5, b'x') => keep(&mut hit.purpose, name, value, b"x-moz"),
            (6, b'o') => keep(&mut hit.origin, name, value, b"origin"),
            (6, b'e') if minor_version == 1 && is_named(name, b"expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Rejection::Expectation);
                }
                self.expects_continue = true;
            }
            (7, b'r') => keep(&mut hit.referer, name, value, b"referer"),
            (7, b'p') => keep(&mut hit.purpose, name, value, b"purpose"),
            (9, b's') => keep(&mut hit.sec_ch_ua, name, value, b"sec-ch-ua"),
            (9, b'x') => keep(&mut hit.purpose, name, value, b"x-purpose"),
            (10, b'u') => keep(&mut hit.user_agent, name, value, b"user-agent"),
            (10, b'c') if is_named(name, b"connection") => self.take_connection(value),
            (11, b's') => keep(&mut hit.purpose, name, value, b"sec-purpose"),
            (12, b'c') => keep(&mut hit.content_type, name, value, b"content-type"),
            (13, b'a') => keep(&mut hit.authorization, name, value, b"authorization"),
            (13, b'x') => keep(&mut hit.umami_cache, name, value, b"x-umami-cache"),
            (14, b'c') if is_named(name, b"content-length") => {
                if self.content_length.is_some_and(|known| known != value) {
                    return Err(Rejection::ContentLength);
                }
                self.content_length = Some(value);
            }
            (15, b'a') => keep(&mut hit.accept_language, name, value, b"accept-language"),
            (15, b's') => keep(&mut hit.sec_ch_ua_model, name, value, b"sec-ch-ua-model"),
            (15, b'x') => keep(&mut hit.debug_request, name, value, b"x-debug-request"),
            (16, b'c') => keep(&mut hit.content_encoding, name, value, b"content-encoding"),
            (16, b's') => keep(&mut hit.sec_ch_ua_mobile, name, value, b"sec-ch-ua-mobile"),
            (17, b't') if is_named(name, b"transfer-encoding") => {
                if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Rejection::TransferEncoding);
                }
                self.is_chunked = true;
            }
            (18, b's') => keep(&mut hit.sec_ch_ua_platform, name, value, b"sec-ch-ua-platform"),
            (26, b's') => keep(&mut hit.sec_ch_ua_platform_version, name, value, b"sec-ch-ua-platform-version"),
            (27, b's') => keep(&mut hit.sec_ch_ua_full_version_list, name, value, b"sec-ch-ua-full-version-list"),
            _ => {}
        }
        Ok(())
    }

    /// What the lines so far say of the client.
    pub(super) fn forwarded(&self) -> Forwarded<'a> {
        self.forwarded
    }

    fn take_connection(&mut self, value: &[u8]) {
        if value == b"keep-alive" {
            self.says_keep_alive = true; // what every browser sends
            return;
        }
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.says_close |= option.eq_ignore_ascii_case(b"close");
            self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// The head that these fields and this request line make, once every line was taken; `bytes` is where its body
    /// begins.
    pub(super) fn judge<'room>(
        &'room self,
        line: RequestLine<'a>,
        headers: &'room [Header<'a>],
        bytes: usize,
    ) -> Result<Head<'room, 'a>, Rejection> {
        let RequestLine { method, target, path, query, authority, minor_version } = line;
        if minor_version == 1 && self.host.is_none() {
            return Err(Rejection::Host);
        }
        Ok(Head {
            method,
            target,
            path,
            query,
            authority,
            minor_version,
            headers,
            hit_headers: &self.hit_headers,
            body: self.body_length(minor_version)?,
            keep_alive: self.keep_alive(minor_version),
            expects_continue: self.expects_continue,
            forwarded: self.forwarded,
            bytes,
        })
    }

    /// RFC 9112 §9.3: 1.1 stays open unless it says close; 1.0 closes unless it says keep-alive.
    fn keep_alive(&self, minor_version: u8) -> bool {
        !self.says_close && (minor_version == 1 || self.says_keep_alive)
    }

    fn body_length(&self, minor_version: u8) -> Result<BodyLength, Rejection> {
        match (self.is_chunked, self.content_length) {
            (true, Some(_)) => Err(Rejection::AmbiguousLength),
            (true, None) if minor_version == 0 => Err(Rejection::TransferEncoding),
            (true, None) => Ok(BodyLength::Chunked),
            (false, None) => Ok(BodyLength::Fixed(0)),
            (false, Some(digits)) => parse_content_length(digits).map(BodyLength::Fixed),
        }
    }
}

/// A plain decimal number that fits; leading zeros are digits like others.
fn parse_content_length(digits: &[u8]) -> Result<u64, Rejection> {
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    });
    match value {
        Some(value) if !digits.is_empty() => Ok(value),
        _ => Err(Rejection::ContentLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 8] = [
        "host",
        "x-moz",
        "origin",
        "referer",
        "purpose",
        "connection",
        "sec-ch-ua-platform-version",
        "sec-ch-ua-full-version-list",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn names_are_compared_as_tokens_are(
            name in prop::sample::select(&NAMES[..]), cases: u32, at: prop::sample::Index, byte: u8, is_changed: bool,
        ) {
            let mut sent = name.as_bytes().to_vec();
            for (index, byte) in sent.iter_mut().enumerate() {
                if cases >> index & 1 == 1 { byte.make_ascii_uppercase() }
            }
            if is_changed && is_token_byte(byte) && let Some(changed) = sent.get_mut(at.index(name.len())) {
                *changed = byte;
            }
            for known in NAMES {
                prop_assert_eq!(is_named(&sent, known.as_bytes()), sent.eq_ignore_ascii_case(known.as_bytes()));
            }
        }

        #[test]
        fn hosts_hold_the_bytes_of_the_table(usual in "[a-zA-Z0-9.:-]{0,20}", more in "[ -~]{0,2}", last: Option<u8>) {
            let host: Vec<u8> = usual.bytes().chain(more.bytes()).chain(last).collect();
            let naive = !host.is_empty() && host.iter().all(|byte| HOST_BYTES.get(usize::from(*byte)) == Some(&true));
            prop_assert_eq!(is_host(&host), naive);
        }
    }
}
