//! How bytes are cut into reads changes nothing. The naive twin of the fast path is the same input fed byte by byte.
use crate::driver::{Outcome, Pace, run, statuses};
use footfall_ingest::http::{HttpSettings, Limits};
use proptest::prelude::*;

/// Small limits, so that generated input passes them, except those whose passing depends on the cut.
fn settings() -> HttpSettings {
    let limits = Limits {
        max_request_line_bytes: 60,
        max_head_bytes: 200,
        max_headers: 6,
        max_hit_body_bytes: 40,
        max_delegated_body_bytes: 50,
        max_chunk_extra_bytes: 16,
        max_pipelined: 3,
        max_buffered_bytes: 24,
        ..Limits::default()
    };
    HttpSettings { limits, ..HttpSettings::default() }
}

fn whole(input: &[u8]) -> Outcome {
    run(settings(), "192.0.2.9", Pace::Eager, [input])
}

fn assert_cut_free(input: &[u8], sizes: &[usize]) {
    let expected = whole(input);
    statuses(&expected.written);
    for pace in [Pace::Eager, Pace::Lazy] {
        assert_eq!(run(settings(), "192.0.2.9", pace, input.chunks(1)), expected, "bytewise, {pace:?}");
        let mut pieces = Vec::new();
        let mut rest = input;
        for size in sizes {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        assert_eq!(run(settings(), "192.0.2.9", pace, pieces), expected, "{sizes:?}, {pace:?}");
    }
}

/// The same input with every commit failing: the same events, and each answer of a logged hit is a 503 in its place.
fn assert_failures_in_place(input: &[u8]) {
    let committed = whole(input);
    let failed = run(settings(), "192.0.2.9", Pace::Failing, [input]);
    assert_eq!((&failed.events, failed.closed_itself), (&committed.events, committed.closed_itself));
    let [committed, failed] = [statuses(&committed.written), statuses(&failed.written)];
    assert_eq!(committed.len(), failed.len(), "{committed:?} {failed:?}");
    for (committed, failed) in committed.into_iter().zip(failed) {
        assert!(failed == committed || (failed == 503 && matches!(committed, 200 | 202 | 413)), "{committed} {failed}");
    }
}

#[test]
fn every_cut_in_two_gives_the_same() {
    let input = b"\r\nPOST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
        POST /api/send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2\r\nhi\r\n0\r\n\r\n\
        GET /page HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n\
        20\r\n01234567890123456789012345678901\r\n0\r\n\r\n\
        GET /hit.gif HTTP/1.0\r\nConnection: keep-alive\r\n\r\nOPTIONS /hit.gif HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /hit.gif HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /late HTTP/1.1\r\n";
    let expected = whole(input);
    assert_eq!(statuses(&expected.written), [202, 100, 202, 200, 200, 200, 204, 200]);
    for cut in 0..=input.len() {
        assert_cut_free(input, &[cut]);
    }
}

/// A header line, mostly valid.
fn header_line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just("Host: a\r\n".to_owned()),
        2 => (0_u8..60).prop_map(|bytes| format!("Content-Length: {bytes}\r\n")),
        2 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => Just("Expect: 100-continue\r\n".to_owned()),
        1 => Just("Connection: close\r\n".to_owned()),
        1 => Just("Connection: keep-alive\r\n".to_owned()),
        1 => "[A-Za-z-]{1,8}: [ -~]{0,60}\r\n",
        1 => "[ -~\r\n\t]{0,12}\r\n",
    ]
}

fn chunks() -> impl Strategy<Value = String> {
    let chunk = prop_oneof![
        6 => "[a-z]{1,20}".prop_map(|data| format!("{:x}\r\n{data}\r\n", data.len())),
        1 => "[a-z]{1,9};[a-z]{0,6}\r\n",
        1 => "[0-9a-f]{1,2}\r\n",
    ];
    (
        proptest::collection::vec(chunk, 0..4),
        prop_oneof![4 => Just("0\r\n\r\n"), 1 => Just("0\r\na: b\r\n\r\n"), 1 => Just("")],
    )
        .prop_map(|(chunks, end)| chunks.concat() + end)
}

/// A request, mostly valid: broken ones must be refused alike in every cut.
fn request() -> impl Strategy<Value = String> {
    let method =
        prop_oneof![4 => Just("POST"), 3 => Just("GET"), 1 => Just("HEAD"), 1 => Just("OPTIONS"), 1 => Just("PUT")];
    let target = prop_oneof![
        4 => Just("/api/event".to_owned()),
        2 => Just("/hit.gif".to_owned()),
        2 => Just("/page".to_owned()),
        1 => "/[a-z?#]{0,50}",
        1 => Just("http://b/hit.gif".to_owned()),
    ];
    let version = prop_oneof![8 => Just("1.1"), 2 => Just("1.0"), 1 => Just("2.0")];
    let valid_body = (0_usize..45, any::<bool>()).prop_flat_map(|(bytes, is_chunked)| {
        if is_chunked {
            chunks().prop_map(|body| ("Transfer-Encoding: chunked\r\n".to_owned(), body)).boxed()
        } else {
            Just((format!("Content-Length: {bytes}\r\n"), "y".repeat(bytes))).boxed()
        }
    });
    let lines = proptest::collection::vec(header_line(), 0..4).prop_map(|lines| lines.concat());
    let lines_and_body = prop_oneof![
        5 => valid_body.prop_map(|(line, body)| (format!("Host: a\r\n{line}"), body)),
        2 => Just(("Host: a\r\n".to_owned(), String::new())),
        2 => (lines, prop_oneof![chunks(), "[a-z\r\n]{0,40}"]),
    ];
    (method, target, version, lines_and_body).prop_map(|(method, target, version, (lines, body))| {
        format!("{method} {target} HTTP/{version}\r\n{lines}\r\n{body}")
    })
}

proptest! {
    // A failure is kept as a row of these tests, not in a file of seeds.
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_pipelined_requests_gives_the_same(
        requests in proptest::collection::vec(request(), 1..6),
        sizes in proptest::collection::vec(0_usize..80, 0..8),
    ) {
        assert_cut_free(requests.concat().as_bytes(), &sizes);
        assert_failures_in_place(requests.concat().as_bytes());
    }

    #[test]
    fn any_cut_of_damaged_requests_gives_the_same(
        requests in proptest::collection::vec(request(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sizes in proptest::collection::vec(0_usize..80, 0..8),
    ) {
        let mut input = requests.concat().into_bytes();
        for (index, byte) in damage {
            let index = index.index(input.len());
            input[index] = byte;
        }
        assert_cut_free(&input, &sizes);
    }

    /// Valid requests come out as they went in, whatever surrounds them.
    #[test]
    fn hits_come_out_as_they_went_in(
        bodies in proptest::collection::vec("[a-z{}\":,]{0,30}", 1..20),
        chunk_bytes in 1_usize..9,
    ) {
        let mut input = String::new();
        for (index, body) in bodies.iter().enumerate() {
            input.push_str("POST /api/event HTTP/1.1\r\nHost: a\r\n");
            if index % 2 == 0 {
                input.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            } else {
                input.push_str("Transfer-Encoding: chunked\r\n\r\n");
                for part in body.as_bytes().chunks(chunk_bytes) {
                    input.push_str(&format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)));
                }
                input.push_str("0\r\n\r\n");
            }
        }
        let outcome = whole(input.as_bytes());
        let seen: Vec<String> = outcome.events.iter().map(|event| format!("{event:?}")).collect();
        prop_assert_eq!(seen.len(), bodies.len());
        for (seen, body) in seen.iter().zip(&bodies) {
            let expected = format!("{:?}", format!("Event ? 192.0.2.9 {body}"));
            prop_assert_eq!(seen, &format!("Hit({expected})"));
        }
    }
}
