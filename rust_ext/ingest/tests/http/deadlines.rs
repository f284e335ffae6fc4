//! What a connection waits for, since when, and what happens when it waits too long.
use crate::driver::{Driver, NOW_MS, Recorder, statuses};
use footfall_ingest::http::{BodyEvent, HttpSettings, Limits, ProxyTrust, Rejection, Waiting};

const HEAD: &[u8] = b"POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";

fn driver() -> Driver {
    Driver::new(HttpSettings::default(), "192.0.2.9")
}

#[test]
fn trickling_does_not_move_the_heads_deadline() {
    let limits = Limits::default();
    let mut driver = driver();
    assert_eq!(driver.connection.waiting(), (Waiting::Head, NOW_MS));
    let mut recorder = Recorder::default();
    for (second, byte) in HEAD[..20].iter().enumerate() {
        driver.connection.feed(&[*byte], NOW_MS + 900 * second as i64, &mut recorder);
    }
    assert_eq!(driver.connection.waiting(), (Waiting::Head, NOW_MS));
    let deadline_ms = NOW_MS + limits.head_deadline_ms;
    assert_eq!(driver.connection.deadline_ms(), Some(deadline_ms));
    assert!(!driver.connection.expire(deadline_ms - 1).is_closing);
    assert!(driver.connection.expire(deadline_ms).is_closing);
    driver.connection.take_ready(deadline_ms, &mut driver.written);
    assert_eq!(statuses(&driver.written), [408]);
    assert_eq!(driver.connection.waiting(), (Waiting::Linger, deadline_ms));
    assert_eq!(driver.connection.deadline_ms(), Some(deadline_ms + limits.linger_ms));
}

#[test]
fn an_idle_connection_closes_without_an_answer() {
    let mut fresh = driver();
    assert!(fresh.connection.expire(NOW_MS + Limits::default().head_deadline_ms).is_closing);
    assert!(!fresh.connection.progress().is_ready);

    let mut kept = driver();
    let mut recorder = Recorder::default();
    kept.connection.feed(HEAD, NOW_MS + 1, &mut recorder);
    assert_eq!(kept.connection.waiting(), (Waiting::HitBody, NOW_MS + 1));
    kept.connection.feed(b"ok", NOW_MS + 2, &mut recorder);
    kept.connection.mark_group(1);
    assert_eq!(kept.connection.waiting().0, Waiting::Answers);
    assert_eq!(kept.connection.deadline_ms(), None);
    kept.connection.release(1, true, NOW_MS + 3, &mut kept.written);
    assert_eq!(kept.connection.waiting(), (Waiting::Idle, NOW_MS + 3));
    let deadline_ms = NOW_MS + 3 + Limits::default().keep_alive_idle_ms;
    assert_eq!(kept.connection.deadline_ms(), Some(deadline_ms));
    kept.connection.feed(b"P", deadline_ms - 1, &mut recorder);
    assert!(!kept.connection.expire(deadline_ms).is_closing);
    assert_eq!(kept.connection.waiting(), (Waiting::Head, deadline_ms - 1));
}

#[test]
fn slow_bodies_are_answered_408() {
    for head in [HEAD, b"POST /api/event HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"] {
        let mut driver = driver();
        driver.feed(head);
        driver.feed(b"h");
        let deadline_ms = NOW_MS + Limits::default().hit_body_deadline_ms;
        assert_eq!(driver.connection.deadline_ms(), Some(deadline_ms));
        assert!(driver.connection.expire(deadline_ms).is_closing);
        driver.settle();
        assert_eq!(statuses(&driver.written), [408]);
    }
}

#[test]
fn a_delegated_body_may_take_long_if_it_moves() {
    let mut driver = driver();
    let mut recorder = Recorder::default();
    driver.connection.feed(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", NOW_MS, &mut recorder);
    assert!(driver.connection.next_request().is_some());
    assert_eq!(driver.connection.waiting(), (Waiting::Body, NOW_MS));
    driver.connection.feed(b"a", NOW_MS + 50_000, &mut recorder);
    assert_eq!(driver.connection.waiting(), (Waiting::Body, NOW_MS + 50_000));
    driver.connection.feed(b"bc", NOW_MS + 100_000, &mut recorder);
    assert_eq!((driver.connection.waiting().0, driver.connection.deadline_ms()), (Waiting::Application, None));
    driver.connection.take_body();
    driver.connection.finish_delegated(true, NOW_MS + 100_001);
    assert_eq!(driver.connection.waiting(), (Waiting::Idle, NOW_MS + 100_001));

    driver.connection.feed(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", NOW_MS, &mut recorder);
    assert!(driver.connection.next_request().is_some());
    driver.connection.expire(NOW_MS + Limits::default().body_idle_ms);
    assert_eq!(driver.connection.take_body(), BodyEvent::Rejected(Rejection::Timeout));
}

#[test]
fn a_silent_proxy_is_cut_off() {
    let trust = ProxyTrust::new(&["10.0.0.0/8"], "X-Forwarded-For", true).unwrap();
    let mut driver = Driver::new(HttpSettings { trust, ..HttpSettings::default() }, "10.0.0.1");
    driver.feed(b"PROXY TCP4");
    let progress = driver.connection.expire(NOW_MS + Limits::default().head_deadline_ms);
    assert!(progress.is_closing && !progress.is_ready);
}
