//! What is refused, with which status: the smuggling precedents and everything else that two parsers could read
//! differently.
//!
//! Precedents: Tornado GHSA-753j-mpmx-qq6g (a second Transfer-Encoding ignored), llhttp CVE-2023-30589 (bare CR ends a
//! header), llhttp CVE-2024-27982 (blank before a header name), h11 CVE-2025-43859 (chunk CRLF unchecked), Go
//! CVE-2023-39326 (endless chunk extensions), and the cases of Tornado's own http1connection tests.
use crate::driver::{Driver, Event, Pace, run, statuses};
use footfall_ingest::http::{HttpSettings, Limits, Rejection};
use std::collections::BTreeSet;

const HOST: &str = "POST /api/event HTTP/1.1\r\nHost: a.example\r\n";

/// Small limits, so that a row can pass them.
fn settings() -> HttpSettings {
    let limits = Limits {
        max_request_line_bytes: 100,
        max_head_bytes: 400,
        max_headers: 8,
        max_hit_body_bytes: 64,
        max_delegated_body_bytes: 128,
        max_chunk_extra_bytes: 32,
        ..Limits::default()
    };
    HttpSettings { limits, ..HttpSettings::default() }
}

/// Header lines and body that follow a valid request line and `Host`.
const AFTER_HOST: &[(&str, &str, Rejection)] = &[
    // Content-Length
    ("unequal lengths", "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", Rejection::ContentLength),
    (
        "the same number written twice differently",
        "Content-Length: 2\r\nContent-Length: 02\r\n\r\nxx",
        Rejection::ContentLength,
    ),
    ("a list of lengths", "Content-Length: 2, 2\r\n\r\nxx", Rejection::ContentLength),
    ("an empty length", "Content-Length:\r\n\r\n", Rejection::ContentLength),
    ("a blank length", "Content-Length:  \t\r\n\r\n", Rejection::ContentLength),
    ("a plus sign", "Content-Length: +2\r\n\r\nxx", Rejection::ContentLength),
    ("a minus sign", "Content-Length: -2\r\n\r\nxx", Rejection::ContentLength),
    ("a hexadecimal length", "Content-Length: 0x2\r\n\r\nxx", Rejection::ContentLength),
    ("an underscore", "Content-Length: 1_0\r\n\r\n0123456789", Rejection::ContentLength),
    ("a fraction", "Content-Length: 2.0\r\n\r\nxx", Rejection::ContentLength),
    ("a blank inside", "Content-Length: 1 0\r\n\r\n0123456789", Rejection::ContentLength),
    ("a quoted length", "Content-Length: \"2\"\r\n\r\nxx", Rejection::ContentLength),
    ("digits that are not ASCII", "Content-Length: \u{662}\r\n\r\nxx", Rejection::ContentLength),
    ("over 64 bits", "Content-Length: 18446744073709551616\r\n\r\n", Rejection::ContentLength),
    ("far over 64 bits", "Content-Length: 99999999999999999999999999\r\n\r\n", Rejection::ContentLength),
    // Transfer-Encoding
    (
        "length and coding",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Rejection::AmbiguousLength,
    ),
    (
        "coding and length",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        Rejection::AmbiguousLength,
    ),
    (
        "length 0 and coding",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Rejection::AmbiguousLength,
    ),
    ("two codings", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    ("chunked is not the last", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    ("chunked twice in a line", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    (
        "chunked in two lines",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Rejection::TransferEncoding,
    ),
    ("a second coding line", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", Rejection::TransferEncoding),
    (
        "a first coding line",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
        Rejection::TransferEncoding,
    ),
    ("identity", "Transfer-Encoding: identity\r\n\r\n", Rejection::TransferEncoding),
    ("an empty coding", "Transfer-Encoding:\r\n\r\n", Rejection::TransferEncoding),
    ("a trailing comma", "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    ("a parameter", "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    ("a quoted coding", "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    ("a longer word", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Rejection::TransferEncoding),
    ("a Kelvin sign, which lower-cases to k", "Transfer-Encoding: chun\u{212a}ed\r\n\r\n", Rejection::TransferEncoding),
    ("a vertical tab before chunked", "Transfer-Encoding: \x0bchunked\r\n\r\n", Rejection::Malformed),
    // header lines
    ("a blank before the colon", "Content-Length : 5\r\n\r\nhello", Rejection::Malformed),
    ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n\r\n", Rejection::Malformed),
    ("a folded line", "X-A: b\r\n c\r\n\r\n", Rejection::Malformed),
    ("a folded line by tab", "X-A: b\r\n\tTransfer-Encoding: chunked\r\n\r\n", Rejection::Malformed),
    ("a blank line's look-alike", "X-A: b\r\n \r\n\r\n", Rejection::Malformed),
    ("a bare CR in a value", "X-A: b\rTransfer-Encoding: chunked\r\n\r\n", Rejection::Malformed),
    ("a bare CR at a value's end", "X-A: b\r\r\n\r\n", Rejection::Malformed),
    ("a bare CR in a name", "X\rA: b\r\n\r\n", Rejection::Malformed),
    ("a bare LF ends a line", "X-A: b\nX-B: c\r\n\r\n", Rejection::Malformed),
    ("bare LFs end the head", "X-A: b\n\n", Rejection::Malformed),
    ("a bare LF ends the head", "X-A: b\r\n\n", Rejection::Malformed),
    ("a NUL in a value", "X-A: b\0c\r\n\r\n", Rejection::Malformed),
    ("a NUL in a name", "X\0A: b\r\n\r\n", Rejection::Malformed),
    ("a control byte in a value", "X-A: b\x01c\r\n\r\n", Rejection::Malformed),
    ("DEL in a value", "X-A: b\x7f\r\n\r\n", Rejection::Malformed),
    ("no name", ": b\r\n\r\n", Rejection::Malformed),
    ("no colon", "X-A\r\n\r\n", Rejection::Malformed),
    ("a name that is no token", "X(A): b\r\n\r\n", Rejection::Malformed),
    ("a name that is not ASCII", "X-\u{e4}: b\r\n\r\n", Rejection::Malformed),
    ("a second Host", "Host: b.example\r\n\r\n", Rejection::Host),
    ("the same Host again", "Host: a.example\r\n\r\n", Rejection::Host),
    ("an unknown expectation", "Expect: 200-ok\r\n\r\n", Rejection::Expectation),
    ("too many lines", "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n", Rejection::HeadTooLarge),
    // chunks
    ("no size", "Transfer-Encoding: chunked\r\n\r\n\r\n", Rejection::Chunk),
    ("a signed size", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", Rejection::Chunk),
    ("a size with 0x", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Rejection::Chunk),
    ("a size with an underscore", "Transfer-Encoding: chunked\r\n\r\n1_0\r\n", Rejection::Chunk),
    ("a blank after the size", "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", Rejection::Chunk),
    ("17 digits", "Transfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n", Rejection::Chunk),
    ("wrong bytes after a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", Rejection::Chunk),
    ("a chunk longer than its size", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", Rejection::Chunk),
    ("a bare LF after a size", "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Rejection::Chunk),
    ("a bare CR after a size", "Transfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", Rejection::Chunk),
    ("a bare LF in an extension", "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", Rejection::Chunk),
    ("a bare CR in an extension", "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n", Rejection::Chunk),
    (
        "an endless extension",
        "Transfer-Encoding: chunked\r\n\r\n5;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        Rejection::Chunk,
    ),
    (
        "endless trailers",
        "Transfer-Encoding: chunked\r\n\r\n0\r\na: bbbbbbbbbbbbbbbb\r\na: bbbbbbbbbbbbbbbbb\r\n\r\n",
        Rejection::Chunk,
    ),
    ("a folded trailer", "Transfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n c\r\n\r\n", Rejection::Chunk),
    (
        "a request in place of a trailer",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
        Rejection::Chunk,
    ),
];

/// Whole inputs.
const WHOLE: &[(&str, &str, Rejection)] = &[
    ("no Host in 1.1", "GET /hit.gif HTTP/1.1\r\n\r\n", Rejection::Host),
    ("no Host in 1.1, delegated", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", Rejection::Host),
    ("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Rejection::Host),
    ("two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Rejection::Host),
    ("a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Rejection::Host),
    ("a Host with user information", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Rejection::Host),
    ("a Host list", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Rejection::Host),
    ("an authority with user information", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Host),
    ("no authority", "GET http:///hit.gif HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Host),
    ("an absolute target does not stand for Host", "GET http://a/ HTTP/1.1\r\n\r\n", Rejection::Host),
    (
        "chunked in 1.0",
        "POST /api/event HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Rejection::TransferEncoding,
    ),
    ("the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Rejection::Http2Preface),
    ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", Rejection::Version),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", Rejection::Version),
    ("HTTP/0.9 by number", "GET / HTTP/0.9\r\n\r\n", Rejection::Version),
    ("HTTP/0.9 by form", "GET /\r\n\r\n", Rejection::Malformed),
    ("a version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("another protocol", "GET / ICY/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("two blanks after the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("two blanks after the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a tab after the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a blank before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a blank after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", Rejection::Malformed),
    ("bare LFs only", "GET / HTTP/1.1\nHost: a\n\n", Rejection::Malformed),
    ("a bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", Rejection::Malformed),
    ("a folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", Rejection::Malformed),
    ("a blank before the first header", "GET / HTTP/1.1\r\n\tHost: a\r\nHost: b\r\n\r\n", Rejection::Malformed),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a fragment", "GET /hit.gif#a HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a fragment after the query", "GET /hit.gif?a#b HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a target without a slash", "GET hit.gif HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Rejection::NotAProxy),
    ("no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("a TLS handshake", "\u{16}\u{3}\u{1}\u{2}\0", Rejection::Malformed),
    ("two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    ("an empty line of LF", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Rejection::Malformed),
    (
        "a delegated body too large",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 129\r\n\r\n",
        Rejection::BodyTooLarge,
    ),
    (
        "a preflight's body too large",
        "OPTIONS /hit.gif HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n",
        Rejection::BodyTooLarge,
    ),
];

fn assert_refused(name: &str, input: &[u8], rejection: Rejection) {
    // A pipelined request behind it must not be seen.
    let smuggled = [input, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    for pieces in [vec![&smuggled[..]], smuggled.chunks(1).collect()] {
        let outcome = run(settings(), "192.0.2.9", Pace::Eager, pieces);
        assert_eq!(statuses(&outcome.written).last(), Some(&rejection.status()), "{name}");
        let text = String::from_utf8_lossy(&outcome.written);
        assert!(text.ends_with(&format!("Connection: close\r\n\r\n{}", rejection.label())), "{name}: {text}");
        assert!(outcome.closed_itself, "{name}");
        let is_untouched = |event: &Event| !matches!(event, Event::Request(words) if words.contains("smuggled"));
        assert!(outcome.events.iter().all(is_untouched), "{name}: {:?}", outcome.events);
        assert!(!outcome.events.iter().any(|event| matches!(event, Event::Hit(_))), "{name}: {:?}", outcome.events);
    }
}

#[test]
fn refused_requests_reach_nobody_and_end_the_connection() {
    let rows = AFTER_HOST.len() + WHOLE.len();
    assert!(rows >= 60, "{rows} rows");
    for (name, rest, rejection) in AFTER_HOST {
        assert_refused(name, format!("{HOST}{rest}").as_bytes(), *rejection);
    }
    for (name, input, rejection) in WHOLE {
        assert_refused(name, input.as_bytes(), *rejection);
    }
}

#[test]
fn the_same_heads_are_refused_for_the_application() {
    for (name, rest, rejection) in AFTER_HOST {
        assert_refused(name, format!("POST /login HTTP/1.1\r\nHost: a.example\r\n{rest}").as_bytes(), *rejection);
    }
}

#[test]
fn over_the_limits() {
    let line = |bytes: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(bytes - "GET / HTTP/1.1".len()));
    let head = |bytes: usize| {
        let start = "GET /x HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let accepts = |input: &str| {
        let outcome = run(settings(), "192.0.2.9", Pace::Eager, [input.as_bytes()]);
        assert!(matches!(outcome.events[..], [Event::Request(_), Event::Body(..)]), "{:?}", outcome.events);
    };
    accepts(&format!("{}Host: a\r\n\r\n", line(100)));
    accepts(&format!("\r\n{}Host: a\r\n\r\n", line(100)));
    assert_refused("a long line", line(101).as_bytes(), Rejection::TargetTooLong);
    assert_refused("a long line without an end", &[b'x'; 102], Rejection::TargetTooLong);
    assert_refused("a long line after an empty one", format!("\r\n{}", line(101)).as_bytes(), Rejection::TargetTooLong);
    accepts(&head(400));
    accepts(&format!("\r\n{}", head(400)));
    assert_refused("a long head", head(401).as_bytes(), Rejection::HeadTooLarge);
    assert_refused("a long head without an end", &head(500).as_bytes()[..401], Rejection::HeadTooLarge);
}

#[test]
fn the_byte_that_passes_a_limit_is_the_last_one_read() {
    let head = format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(400));
    for (start, status, input) in
        [("", 414, &[b'x'; 102][..]), ("\r\n", 414, &[b'x'; 102]), ("", 431, &head.as_bytes()[..401])]
    {
        let mut driver = Driver::new(settings(), "192.0.2.9");
        let input = [start.as_bytes(), input].concat();
        let (last, rest) = input.split_last().unwrap();
        assert!(rest.chunks(1).all(|piece| !driver.feed(piece).is_ready));
        assert!(driver.feed(&[*last]).is_ready);
        driver.settle();
        assert_eq!(statuses(&driver.written), [status]);
    }
}

#[test]
fn a_hit_over_the_limit_is_reported_and_answered_413() {
    for body in [
        format!("Content-Length: 65\r\n\r\n{}", "x".repeat(65)),
        "Content-Length: 18446744073709551615\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n41\r\n{}\r\n0\r\n\r\n", "x".repeat(65)),
        format!("Transfer-Encoding: chunked\r\n\r\n40\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(64)),
        "Expect: 100-continue\r\nContent-Length: 65\r\n\r\n".to_owned(),
    ] {
        let input = format!("{HOST}{body}{HOST}Content-Length: 0\r\n\r\n");
        for pieces in [vec![input.as_bytes()], input.as_bytes().chunks(1).collect()] {
            let outcome = run(settings(), "192.0.2.9", Pace::Eager, pieces);
            assert_eq!(outcome.events, [Event::TooLarge("Event ? 192.0.2.9  close".to_owned())], "{body}");
            assert_eq!(statuses(&outcome.written), [413], "{body}");
            assert!(outcome.closed_itself);
        }
    }
}

#[test]
fn a_delegated_chunked_body_over_the_limit_ends_the_request() {
    let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
    let input =
        format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}1\r\nx\r\n0\r\n\r\n");
    let outcome = run(settings(), "192.0.2.9", Pace::Eager, [input.as_bytes()]);
    assert_eq!(statuses(&outcome.written), [413]);
    assert!(matches!(&outcome.events[1], Event::Body(body, end) if body.len() == 128 && end == "body_too_large"));
}

#[test]
fn every_rejection_is_provoked() {
    let elsewhere = [Rejection::Timeout, Rejection::TargetTooLong]; // deadlines.rs, and over_the_limits above
    let rows = AFTER_HOST.iter().chain(WHOLE).map(|(_, _, rejection)| *rejection).chain(elsewhere);
    let provoked: BTreeSet<&str> = rows.map(Rejection::label).collect();
    let all: BTreeSet<&str> = Rejection::ALL.into_iter().map(Rejection::label).collect();
    assert_eq!(provoked, all);
}
