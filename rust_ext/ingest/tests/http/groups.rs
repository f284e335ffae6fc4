//! Group commit: answers of logged hits wait for it, and turn into 503 when it fails.
use crate::driver::{Driver, NOW_MS, statuses};
use footfall_ingest::http::{HttpSettings, Limits};

fn hit(body: &str) -> String {
    format!("POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

const PREFLIGHT: &str = "OPTIONS /api/event HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn nothing_leaves_before_the_commit() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    let progress = driver.feed([hit("a"), hit("b")].concat().as_bytes());
    assert_eq!((progress.logged_hits, progress.is_ready), (2, false));
    driver.connection.take_ready(NOW_MS, &mut driver.written);
    assert!(driver.written.is_empty());
    driver.connection.release(0, true, NOW_MS, &mut driver.written);
    assert_eq!(statuses(&driver.written), [202, 202]);
}

#[test]
fn a_failed_commit_answers_503_in_the_places_of_its_hits() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    driver.feed([hit("a"), PREFLIGHT.into(), hit("b"), hit("debug"), hit("c")].concat().as_bytes());
    driver.connection.release(0, false, NOW_MS, &mut driver.written);
    assert_eq!(statuses(&driver.written), [503, 204, 503, 200, 503]);
    assert!(String::from_utf8_lossy(&driver.written).contains("Retry-After: 1\r\n"));
    assert!(!driver.connection.progress().is_closing);
    driver.feed(hit("d").as_bytes());
    driver.connection.release(1, true, NOW_MS, &mut driver.written);
    assert_eq!(statuses(&driver.written), [503, 204, 503, 200, 503, 202]);
}

#[test]
fn groups_may_end_out_of_order() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    for body in ["a", "b", "c"] {
        driver.feed(hit(body).as_bytes());
    }
    driver.connection.release(2, true, NOW_MS, &mut driver.written);
    driver.connection.release(1, false, NOW_MS, &mut driver.written);
    assert!(driver.written.is_empty());
    driver.connection.release(7, false, NOW_MS, &mut driver.written); // some other connections' group
    driver.connection.release(0, true, NOW_MS, &mut driver.written);
    assert_eq!(statuses(&driver.written), [202, 503, 202]);
}

#[test]
fn a_503_is_framed_like_the_answer_it_replaces() {
    for (input, expected) in [
        ("HEAD /hit.gif HTTP/1.1\r\nHost: a\r\n\r\n", (false, "")),
        ("GET /hit.gif HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", (true, "Connection: keep-alive\r\n")),
        ("GET /hit.gif HTTP/1.0\r\n\r\n", (true, "Connection: close\r\n")),
    ] {
        let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
        driver.feed(input.as_bytes());
        driver.connection.release(0, false, NOW_MS, &mut driver.written);
        let text = String::from_utf8_lossy(&driver.written).into_owned();
        assert_eq!((text.ends_with("try again\n"), text.contains("HTTP/1.1 503 ")), (expected.0, true), "{text}");
        assert!(text.contains(expected.1), "{text}");
        assert_eq!(driver.connection.progress().is_closing, expected.1.contains("close"));
    }
}

#[test]
fn hits_of_one_group_keep_their_own_framing() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    driver.feed(b"HEAD /hit.gif HTTP/1.1\r\nHost: a\r\n\r\nGET /hit.gif HTTP/1.0\r\nConnection: close\r\n\r\n");
    driver.connection.release(0, false, NOW_MS, &mut driver.written);
    let text = String::from_utf8_lossy(&driver.written).into_owned();
    assert_eq!(statuses(&driver.written), [503, 503]);
    assert_eq!((text.matches("try again\n").count(), text.matches("Connection: close\r\n").count()), (1, 1), "{text}");
}

#[test]
fn a_refusal_waits_for_the_answers_before_it() {
    let mut driver = Driver::new(HttpSettings::default(), "192.0.2.9");
    let progress = driver.feed([hit("a"), "GET\0\r\n\r\n".into()].concat().as_bytes());
    assert!(!progress.is_ready && !progress.is_closing, "{progress:?}");
    assert_eq!(driver.feed(hit("b").as_bytes()).logged_hits, 0);
    assert!(driver.connection.release(0, false, NOW_MS, &mut driver.written).is_closing);
    assert_eq!(statuses(&driver.written), [503, 400]);
}

#[test]
fn depth_is_capped_and_resumes() {
    let limits = Limits { max_pipelined: 3, max_buffered_bytes: 200, ..Limits::default() };
    let mut driver = Driver::new(HttpSettings { limits, ..HttpSettings::default() }, "192.0.2.9");
    let progress = driver.feed(hit("a").repeat(10).as_bytes());
    assert_eq!((progress.logged_hits, progress.wants_resume, progress.pause_reading), (3, false, true));
    assert_eq!(driver.feed(&[]).logged_hits, 0);
    let progress = driver.connection.release(0, true, NOW_MS, &mut driver.written);
    assert!(progress.wants_resume);
    assert_eq!(driver.feed(&[]).logged_hits, 3);
    driver.settle();
    assert_eq!(statuses(&driver.written), [202; 10]);
    let progress = driver.feed(PREFLIGHT.repeat(5).as_bytes());
    assert!(progress.is_ready && progress.wants_resume, "{progress:?}");
    driver.settle();
    assert_eq!(statuses(&driver.written).len(), 15);
}
