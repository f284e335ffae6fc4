//! The usual head of a hit, read in one pass: what browsers and proxies send, and nothing else.
//!
//! It takes `POST /… HTTP/1.1` with lines of the form `name: value`, each ended by CRLF: names of letters, digits and
//! hyphens, values of visible ASCII, blanks between words and bytes from 0x80. Anything else (another method, a tab, a blank
//! at either end of a value, a line that is not all here, whatever [`Fields`] refuses) is left to [`super::head::parse`], which says what is wrong with it. So this reader
//! need not know a single error.
//!
//! Invariant, held by the tests below with httparse as the naive twin: a head that is read here is read alike there.
//! It takes less than half of the instructions, because it writes no table of headers, looks for line ends once, and
//! checks sixteen bytes at a time.
use super::client_address::ProxyTrust;
use super::head::{Fields, HEADER_SLOTS, Head, RequestLine, split_query};
use super::limits::Limits;
use crate::lanes::{Lanes, bytes_before, text_of};

const METHOD: &str = "POST";
const BEFORE_TARGET: &[u8] = b"POST ";
const AFTER_TARGET: &[u8] = b" HTTP/1.1\r\n";

/// Parses the head at the input's start, if it is a plain one; `fields` is fresh room, and used up when there is none. The
/// head's `headers` stay empty.
#[inline]
pub(super) fn parse<'room, 'input>(
    input: &'input [u8],
    fields: &'room mut Fields<'input>,
    limits: &Limits,
    trust: Option<&ProxyTrust>,
) -> Option<Head<'room, 'input>> {
    let after_method = input.strip_prefix(BEFORE_TARGET)?;
    let target_bytes = bytes_before(after_method, target_ends);
    let (target, rest) = after_method.split_at_checked(target_bytes)?;
    let mut rest = rest.strip_prefix(AFTER_TARGET)?;
    if !target.starts_with(b"/")
        || BEFORE_TARGET.len() + target_bytes + AFTER_TARGET.len() - "\r\n".len() > limits.max_request_line_bytes
    {
        return None;
    }
    let mut lines = 0_usize;
    loop {
        let (name, after_name) = rest.split_at_checked(bytes_before(rest, name_ends))?;
        if name.is_empty() {
            rest = rest.strip_prefix(b"\r\n")?;
            break;
        }
        let after_colon = after_name.strip_prefix(b": ")?;
        let (value, after_value) = after_colon.split_at_checked(bytes_before(after_colon, value_ends))?;
        rest = after_value.strip_prefix(b"\r\n")?;
        lines += 1;
        if matches!(value, [] | [b' ', ..] | [.., b' ']) {
            return None;
        }
        fields.take(name, value, 1, trust).ok()?;
    }
    let bytes = input.len() - rest.len();
    if bytes > limits.max_head_bytes || lines > limits.max_headers.min(HEADER_SLOTS) {
        return None;
    }
    if fields.forwarded().lines > 1 {
        return None; // who the client is then takes all of them
    }
    let target = text_of(target).ok()?;
    let (path, query) = split_query(target).ok()?;
    let line = RequestLine { method: METHOD, target, path, query, authority: None, minor_version: 1 };
    fields.judge(line, &[], bytes).ok()
}

/// The bytes that end a name: all but letters, digits and hyphens.
#[inline]
fn name_ends(lanes: Lanes) -> u32 {
    (lanes.letters() | lanes.within(b'0', b'9') | lanes.equal(b'-')).missing_bits()
}

/// The bytes that end a value: control bytes, tabs and 0x7f among them.
#[inline]
fn value_ends(lanes: Lanes) -> u32 {
    (lanes.at_most(0x1f) | lanes.equal(0x7f)).bits()
}

/// The bytes that end a target: all but visible ASCII.
#[inline]
fn target_ends(lanes: Lanes) -> u32 {
    lanes.within(b'!', b'~').missing_bits()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::head;
    use super::*;
    use proptest::prelude::*;

    const BEACON: &str = "POST /api/event?a=b HTTP/1.1\r\nHost: stats.example.com\r\nConnection: keep-alive\r\n\
        Content-Length: 2\r\nsec-ch-ua-platform: \"macOS\"\r\nUser-Agent: Mozilla/5.0 (Macintosh; \u{e4}) Chrome/138.0.0.0\r\n\
        sec-ch-ua: \"Not)A;Brand\";v=\"8\", \"Chromium\";v=\"138\"\r\nContent-Type: text/plain\r\nAccept: */*\r\n\
        X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nOrigin: https://shop.example\r\n\
        Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n\r\n{}";

    fn trust() -> ProxyTrust {
        ProxyTrust::new(&["127.0.0.0/8"], "X-Forwarded-For", false).unwrap()
    }

    /// What of a head reaches a hit, in words.
    fn told(head: &Head<'_, '_>) -> String {
        let Head { method, target, path, query, authority, minor_version, hit_headers, body, keep_alive, .. } = head;
        format!(
            "{method} {target} {path:?} {query:?} {authority:?} {minor_version} {hit_headers:?} {body:?} {keep_alive} {} {:?} {}",
            head.expects_continue, head.forwarded, head.bytes
        )
    }

    /// Whether it was read here; if so, it must be read alike there.
    fn is_plain(input: &[u8], limits: &Limits) -> bool {
        let trust = trust();
        let (mut plain_fields, mut fields, mut slots) = (Fields::default(), Fields::default(), head::header_slots());
        let Some(plain) = parse(input, &mut plain_fields, limits, Some(&trust)) else { return false };
        let twin = head::parse(input, &mut slots, &mut fields, limits, Some(&trust)).unwrap().unwrap();
        assert_eq!(told(&plain), told(&twin));
        true
    }

    #[test]
    fn a_beacon_is_plain_and_its_front_is_not() {
        let head_bytes = BEACON.len() - 2;
        assert!(is_plain(BEACON.as_bytes(), &Limits::default()));
        for cut in 0..head_bytes {
            assert!(!is_plain(&BEACON.as_bytes()[..cut], &Limits::default()), "{cut}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_alone() {
        for (usual, unusual) in [
            ("POST", "PUT"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("POST /", "POST http://a/"),
            ("?a=b", "#a"),
            ("Accept: */*", "Accept:*/*"),
            ("Accept: */*", "Accept:  */*"),
            ("Accept: */*", "Accept: */* "),
            ("Accept: */*", "Accept: a\tb"),
            ("Accept: */*", "Accept: a\u{7f}b"),
            ("Accept: */*", "Accept: "),
            ("Accept: */*", "Accept: a\r\n folded"),
            ("Accept: */*", "Accept: a\nb"),
            ("Accept: */*", ": a"),
            ("Accept: */*", "Acc ept: a"),
            ("Accept: */*", "Host: b"),
            ("Host: stats.example.com", "Host: a b"),
            ("Host: stats.example.com\r\n", ""),
            ("Content-Length: 2", "Content-Length: 2\r\nContent-Length: 3"),
            ("Content-Length: 2", "Content-Length: 2\r\nTransfer-Encoding: chunked"),
            ("Content-Length: 2", "Content-Length: x"),
        ] {
            let input = BEACON.replace(usual, unusual);
            assert_ne!(input, BEACON);
            assert!(!is_plain(input.as_bytes(), &Limits::default()), "{unusual:?}");
        }
    }

    #[test]
    fn limits_are_those_of_any_head() {
        let head_bytes = BEACON.len() - 2;
        let request_line_bytes = BEACON.find("\r\n").unwrap();
        let fits = Limits {
            max_headers: 11,
            max_head_bytes: head_bytes,
            max_request_line_bytes: request_line_bytes,
            ..Limits::default()
        };
        assert!(is_plain(BEACON.as_bytes(), &fits));
        for tight in [
            Limits { max_headers: 10, ..fits },
            Limits { max_head_bytes: head_bytes - 1, ..fits },
            Limits { max_request_line_bytes: request_line_bytes - 1, ..fits },
        ] {
            assert!(!is_plain(BEACON.as_bytes(), &tight), "{tight:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn is_read_as_its_twin_reads_it(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4),
        ) {
            let mut input = BEACON.as_bytes().to_vec();
            for (at, byte, is_inserted) in changes {
                let at = at.index(input.len());
                if is_inserted { input.insert(at, byte) } else { input[at] = byte }
            }
            is_plain(&input, &Limits::default());
        }

        #[test]
        fn names_end_at_the_first_other_byte(bytes in "[a-zA-Z0-9@\\[`{/:;, -]{0,40}", more: Vec<u8>) {
            let bytes = [bytes.as_bytes(), &more].concat();
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
            let naive = bytes.iter().position(|byte| !is_name(byte)).unwrap_or(bytes.len());
            prop_assert_eq!(bytes_before(&bytes, name_ends), naive);
        }

        #[test]
        fn text_ends_at_the_first_control_byte(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let naive = bytes.iter().position(|byte| *byte < 0x20 || *byte == 0x7f).unwrap_or(bytes.len());
            prop_assert_eq!(bytes_before(&bytes, value_ends), naive);
            let naive = bytes.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(bytes.len());
            prop_assert_eq!(bytes_before(&bytes, target_ends), naive);
        }
    }
}
