//! Requests for the application: what it is given, body streaming, order, flow control, early ends.
use crate::driver::{Driver, Event, NOW_MS, Pace, run, statuses};
use footfall_ingest::http::{BodyEvent, HttpSettings, Limits};

const HIT: &str = "POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
const GET: &str = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";

fn small() -> HttpSettings {
    HttpSettings { limits: Limits { max_buffered_bytes: 100, ..Limits::default() }, ..HttpSettings::default() }
}

#[test]
fn hits_and_requests_keep_their_order() {
    let input = [HIT, GET, HIT, HIT, GET, GET, HIT].concat();
    for pace in [Pace::Eager, Pace::Lazy] {
        for pieces in [vec![input.as_bytes()], input.as_bytes().chunks(7).collect()] {
            let outcome = run(HttpSettings::default(), "192.0.2.9", pace, pieces);
            assert_eq!(statuses(&outcome.written), [202, 200, 202, 202, 200, 200, 202]);
            let kinds: Vec<&str> = outcome
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Hit(_) => Some("hit"),
                    Event::Request(_) => Some("get"),
                    _ => None,
                })
                .collect();
            assert_eq!(kinds, ["hit", "get", "hit", "hit", "get", "get", "hit"]);
        }
    }
}

#[test]
fn a_request_waits_until_earlier_answers_are_out() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    let progress = driver.feed([HIT, GET].concat().as_bytes());
    assert_eq!((progress.logged_hits, progress.has_request, progress.wants_resume), (1, false, false));
    assert!(driver.connection.next_request().is_none());
    assert!(!driver.feed(HIT.as_bytes()).has_request); // buffered behind it
    let progress = driver.connection.release(0, true, NOW_MS, &mut driver.written);
    assert!(progress.wants_resume && !progress.has_request);
    let progress = driver.feed(&[]);
    assert_eq!((progress.logged_hits, progress.has_request), (0, true));
    assert_eq!(driver.connection.next_request().map(|request| request.target), Some("/page".to_owned()));
    assert!(driver.connection.next_request().is_none());
    assert_eq!(driver.connection.take_body(), BodyEvent::Complete);
    assert_eq!(driver.feed(HIT.as_bytes()).logged_hits, 0);
    let progress = driver.connection.finish_delegated(true, NOW_MS);
    assert!(progress.wants_resume);
    assert_eq!(driver.feed(&[]).logged_hits, 2);
}

#[test]
fn an_immediate_answer_also_comes_first() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    let progress = driver.feed(format!("OPTIONS /hit.gif HTTP/1.1\r\nHost: a\r\n\r\n{GET}").as_bytes());
    assert!(progress.is_ready && !progress.has_request && progress.wants_resume, "{progress:?}");
    driver.connection.take_ready(NOW_MS, &mut driver.written);
    assert!(driver.feed(&[]).has_request);
}

#[test]
fn bodies_stream_with_back_pressure() {
    for head in ["Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"] {
        let is_chunked = head.starts_with('T');
        let body: Vec<u8> = (0..1000).map(|index| b'a' + (index % 26) as u8).collect();
        let framed = if is_chunked {
            let chunks: Vec<String> =
                body.chunks(33).map(|part| format!("21\r\n{}\r\n", String::from_utf8_lossy(part))).collect();
            let last = format!("a\r\n{}\r\n0\r\n\r\n", String::from_utf8_lossy(&body[990..]));
            [chunks[..30].concat(), last].concat()
        } else {
            String::from_utf8_lossy(&body).into_owned()
        };
        let mut driver = Driver::new(small(), "192.0.2.9");
        driver.feed(format!("POST /up HTTP/1.1\r\nHost: a\r\n{head}").as_bytes());
        assert!(driver.connection.next_request().is_some_and(|request| request.has_body));
        assert_eq!(driver.connection.take_body(), BodyEvent::Pending);
        let progress = driver.feed(framed.as_bytes());
        assert!(progress.pause_reading && progress.has_body && !progress.wants_resume, "{progress:?}");
        let mut received = Vec::new();
        loop {
            match driver.connection.take_body() {
                BodyEvent::Chunk(data) => {
                    assert!(data.len() <= 100);
                    received.extend_from_slice(&data);
                }
                BodyEvent::Pending => {
                    assert!(driver.connection.progress().wants_resume);
                    driver.feed(&[]);
                }
                end => {
                    assert_eq!(end, BodyEvent::Complete);
                    break;
                }
            }
        }
        assert_eq!(received, body);
        assert!(!driver.connection.finish_delegated(true, NOW_MS).is_closing);
    }
}

#[test]
fn what_is_pipelined_behind_an_unfinished_request_pauses_reading() {
    let mut driver = Driver::new(small(), "192.0.2.9");
    driver.feed(GET.as_bytes());
    assert!(driver.connection.next_request().is_some());
    assert!(!driver.feed(HIT.as_bytes()).pause_reading);
    assert!(driver.feed(HIT.as_bytes()).pause_reading);
    driver.settle_after_application();
    assert!(!driver.connection.progress().pause_reading);
    assert_eq!(statuses(&driver.written), [202, 202]);
}

#[test]
fn an_answer_before_the_whole_body_closes() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    driver.feed(b"POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    assert!(driver.connection.next_request().is_some_and(|request| request.expects_continue));
    assert!(driver.connection.finish_delegated(true, NOW_MS).is_closing);
    assert_eq!(driver.feed(HIT.as_bytes()).logged_hits, 0);
}

#[test]
fn a_peer_that_leaves_is_noticed() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    driver.feed(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert!(driver.connection.next_request().is_some());
    assert!(driver.connection.end_of_input(NOW_MS).has_body);
    assert_eq!(driver.connection.take_body(), BodyEvent::Chunk(b"abc".to_vec()));
    assert_eq!(driver.connection.take_body(), BodyEvent::Aborted);
    assert!(driver.connection.finish_delegated(false, NOW_MS).is_closing);
}

#[test]
fn a_half_closed_peer_still_gets_its_answers() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    driver.feed([HIT, GET, HIT].concat().as_bytes());
    driver.connection.end_of_input(NOW_MS);
    assert!(!driver.connection.progress().is_closing);
    driver.settle();
    assert_eq!(statuses(&driver.written), [202, 200, 202]);
    assert!(driver.connection.progress().is_closing);
}
