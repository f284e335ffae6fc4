//! What is accepted, and how it is answered: endpoints, methods, versions, bodies, addresses.
use crate::driver::{Event, NOW_MS, Outcome, Pace, run, statuses};
use footfall_ingest::drop_reason::Outcome as HitOutcomeCode;
use footfall_ingest::http::{Answers, Endpoint, HttpSettings, ProxyTrust, Reply, response};

fn outcome_of(input: &str) -> Outcome {
    run(HttpSettings::default(), "192.0.2.9", Pace::Eager, [input.as_bytes()])
}

fn hits(outcome: &Outcome) -> Vec<&str> {
    let words = |event: &Event| matches!(event, Event::Hit(_));
    assert!(outcome.events.iter().all(words), "{:?}", outcome.events);
    outcome.events.iter().map(|event| if let Event::Hit(words) = event { words.as_str() } else { "" }).collect()
}

#[test]
fn a_beacon_is_answered_like_plausible() {
    let outcome = outcome_of(
        "POST /api/event?x=1 HTTP/1.1\r\nHost: stats.example\r\nuser-agent:  Mozilla/5.0 \t\r\nReferer: https://a.example/\r\n\
         Content-Type: text/plain\r\nSec-Purpose: prefetch\r\nX-Umami-Cache: c\r\nContent-Length: 12\r\n\r\n{\"n\":\"view\"}",
    );
    assert_eq!(
        hits(&outcome),
        ["Event ?x=1 192.0.2.9 {\"n\":\"view\"} agent=Mozilla/5.0 referer=https://a.example/ purpose=prefetch \
          type=text/plain umami=c"]
    );
    assert_eq!(
        String::from_utf8_lossy(&outcome.written),
        "HTTP/1.1 202 Accepted\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Access-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok"
    );
    assert!(!outcome.closed_itself);
}

#[test]
fn every_endpoint_and_alias_takes_its_methods() {
    let mut settings = HttpSettings::default();
    settings.endpoints.add_alias("/assets/p", Endpoint::Event).unwrap();
    for (method, path, status) in [
        ("POST", "/api/event", 202),
        ("POST", "/assets/p", 202),
        ("POST", "/api/send", 202),
        ("POST", "/api/batch", 202),
        ("GET", "/hit.gif?p=/a", 200),
        ("HEAD", "/hit.gif", 200),
        ("OPTIONS", "/api/event", 204),
        ("OPTIONS", "/hit.gif", 204),
        ("GET", "/api/event", 405),
        ("HEAD", "/api/event", 405),
        ("PUT", "/api/send", 405),
        ("POST", "/hit.gif", 405),
        ("post", "/api/event", 405),
    ] {
        let input = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let outcome = run(settings.clone(), "192.0.2.9", Pace::Eager, [input.as_bytes()]);
        assert_eq!(statuses(&outcome.written), [status], "{method} {path}");
        assert_eq!(outcome.events.len(), usize::from(status < 204), "{method} {path}");
        assert!(!outcome.closed_itself, "{method} {path}");
    }
    for path in ["/api/events", "/api/event/", "/api/%65vent", "//api/event", "/API/EVENT", "/"] {
        let outcome = outcome_of(&format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"));
        assert!(matches!(&outcome.events[..], [Event::Request(_), Event::Body(..)]), "{path}");
    }
}

#[test]
fn a_preflight_lists_what_umami_sends() {
    let outcome = outcome_of("OPTIONS /api/send HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: POST\r\n\r\n");
    let text = String::from_utf8_lossy(&outcome.written).into_owned();
    for line in [
        "Access-Control-Allow-Origin: *\r\n",
        "Access-Control-Allow-Methods: POST, OPTIONS\r\n",
        "content-type, x-umami-cache, x-umami-website-id, x-umami-hostname",
        "Access-Control-Max-Age: 86400\r\n",
        "Access-Control-Expose-Headers: X-Footfall-Dropped, X-Plausible-Dropped\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let text = String::from_utf8_lossy(&outcome_of("GET /api/send HTTP/1.1\r\nHost: a\r\n\r\n").written).into_owned();
    assert!(text.contains("Allow: POST, OPTIONS\r\n"), "{text}");
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, connection, stays, line) in [
        ("1.1", "", true, ""),
        ("1.1", "Connection: keep-alive\r\n", true, ""),
        ("1.1", "Connection: close\r\n", false, "Connection: close\r\n"),
        ("1.1", "Connection: Close\r\n", false, "Connection: close\r\n"),
        ("1.1", "Connection: TE, close , x\r\n", false, "Connection: close\r\n"),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false, "Connection: close\r\n"),
        ("1.1", "Connection: closed\r\n", true, ""),
        ("1.0", "", false, "Connection: close\r\n"),
        ("1.0", "Connection: keep-alive\r\n", true, "Connection: keep-alive\r\n"),
        ("1.0", "Connection: Keep-Alive, close\r\n", false, "Connection: close\r\n"),
    ] {
        for (method, path) in
            [("POST", "/api/event"), ("OPTIONS", "/api/event"), ("GET", "/api/event"), ("GET", "/hit.gif")]
        {
            let input = format!("{method} {path} HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            let outcome = outcome_of(&input);
            assert_eq!(!outcome.closed_itself, stays, "{input}");
            let text = String::from_utf8_lossy(&outcome.written).into_owned();
            let sent: String = text.split_inclusive("\r\n").filter(|sent| sent.starts_with("Connection:")).collect();
            assert_eq!(sent, line, "{input}");
        }
        let outcome = outcome_of(&format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"));
        assert_eq!(!outcome.closed_itself, stays, "delegated {version} {connection}");
    }
    assert_eq!(
        hits(&outcome_of("POST /api/event HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")),
        ["Event ? 192.0.2.9 x close"]
    );
}

#[test]
fn nothing_after_a_closing_request_is_handled() {
    let outcome = outcome_of(
        "POST /api/event HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nPOST /api/event HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(hits(&outcome).len(), 1);
    assert_eq!(statuses(&outcome.written), [202]);
}

#[test]
fn pipelined_hits_are_answered_in_order() {
    let hit =
        |body: &str| format!("POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let input =
        [hit("a"), hit("debug"), hit("b"), hit("full"), "GET /hit.gif HTTP/1.1\r\nHost: a\r\n\r\n".into(), hit("c")]
            .concat();
    let outcome = outcome_of(&input);
    assert_eq!(hits(&outcome).len(), 6);
    assert_eq!(statuses(&outcome.written), [202, 200, 202, 503, 200, 202]);
}

#[test]
fn chunked_hits_are_decoded() {
    let outcome = outcome_of(
        "POST /api/send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nUser-Agent: u\r\n\r\n\
         3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nTrailer: t\r\n\r\nGET /hit.gif HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(hits(&outcome), ["Send ? 192.0.2.9 {\"a\":1} agent=u", "Gif ? 192.0.2.9 "]);
    assert_eq!(statuses(&outcome.written), [202, 200]);
}

#[test]
fn a_client_that_expects_100_gets_it_once() {
    for body in ["Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"] {
        let input = format!("POST /api/event HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n{body}");
        let twice = input.repeat(2);
        for pieces in [vec![twice.as_bytes()], twice.as_bytes().chunks(1).collect()] {
            let outcome = run(HttpSettings::default(), "192.0.2.9", Pace::Eager, pieces);
            assert_eq!(statuses(&outcome.written), [100, 202, 100, 202]);
        }
    }
    for (version, length) in [("1.1", "0"), ("1.0", "2")] {
        let outcome = outcome_of(&format!(
            "POST /api/event HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\nhi"
        ));
        assert_eq!(statuses(&outcome.written)[0], 202, "{version} {length}");
    }
}

#[test]
fn equal_lengths_may_be_repeated() {
    let outcome = outcome_of("POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(hits(&outcome), ["Event ? 192.0.2.9 hi"]);
}

#[test]
fn absolute_targets_are_read_without_their_origin() {
    let outcome = outcome_of("GET HTTP://stats.example/hit.gif?p=/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(hits(&outcome), ["Gif ?p=/ 192.0.2.9 "]);
    for (target, origin_form) in
        [("http://b.example:81/x?y", "/x?y"), ("https://b.example:81", "/"), ("http://b.example:81?y", "/?y")]
    {
        let outcome = outcome_of(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let expected = format!("GET {origin_form} 1.1 192.0.2.9 [\"Host=b.example:81\"]");
        assert_eq!(outcome.events[0], Event::Request(expected));
    }
    let outcome = outcome_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(outcome.events[0], Event::Request("OPTIONS * 1.1 192.0.2.9 [\"Host=a\"]".to_owned()));
}

#[test]
fn one_empty_line_before_a_request_is_ignored() {
    let outcome = outcome_of(
        "\r\nPOST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET /hit.gif HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(hits(&outcome), ["Event ? 192.0.2.9 x", "Gif ? 192.0.2.9 "]);
}

#[test]
fn the_client_comes_from_trusted_proxies_only() {
    let trust = |header: &str, proxy_protocol: bool| HttpSettings {
        trust: ProxyTrust::new(&["10.0.0.0/8"], header, proxy_protocol).unwrap(),
        ..HttpSettings::default()
    };
    let with = |lines: &str| format!("GET /hit.gif HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let forwarded = with("X-Forwarded-For: 6.6.6.6, 203.0.113.5\r\nx-forwarded-for: 10.1.1.1\r\n");
    let proxied = format!("PROXY TCP4 203.0.113.5 10.0.0.1 1 2\r\n{}", with(""));
    let proxied_twice =
        format!("PROXY TCP4 10.2.2.2 10.0.0.1 1 2\r\n{}", with("X-Forwarded-For: 6.6.6.6, 203.0.113.5\r\n"));
    let mut version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x05\x0a\0\0\x01\0\x01\0\x02".to_vec();
    version_2.extend_from_slice(with("").as_bytes());
    for (settings, peer, input, client) in [
        (trust("X-Forwarded-For", false), "10.0.0.1", forwarded.as_bytes(), "203.0.113.5"),
        (trust("X-Forwarded-For", false), "::ffff:10.0.0.1", forwarded.as_bytes(), "203.0.113.5"),
        (trust("X-Forwarded-For", false), "192.0.2.9", forwarded.as_bytes(), "192.0.2.9"),
        (HttpSettings::default(), "10.0.0.1", forwarded.as_bytes(), "10.0.0.1"),
        (
            trust("CF-Connecting-IP", false),
            "10.0.0.1",
            with("cf-connecting-ip: 2001:db8::5\r\n").as_bytes(),
            "2001:db8::5",
        ),
        (trust("CF-Connecting-IP", false), "10.0.0.1", forwarded.as_bytes(), "10.0.0.1"),
        (trust("X-Forwarded-For", true), "10.0.0.1", proxied.as_bytes(), "203.0.113.5"),
        (trust("X-Forwarded-For", true), "10.0.0.1", proxied_twice.as_bytes(), "203.0.113.5"),
        (trust("X-Forwarded-For", true), "10.0.0.1", &version_2, "203.0.113.5"),
        (trust("X-Forwarded-For", true), "192.0.2.9", with("").as_bytes(), "192.0.2.9"),
    ] {
        for pieces in [vec![input], input.chunks(1).collect()] {
            let outcome = run(settings.clone(), peer, Pace::Eager, pieces);
            assert_eq!(hits(&outcome), [format!("Gif ? {client} ")], "{peer} {}", String::from_utf8_lossy(input));
        }
    }
    // A PROXY line from a stranger is a bad request; a trusted proxy without one is cut off without an answer.
    let outcome = run(trust("X-Forwarded-For", true), "192.0.2.9", Pace::Eager, [proxied.as_bytes()]);
    assert_eq!((outcome.events.len(), statuses(&outcome.written)), (0, vec![400]));
    let outcome = run(trust("X-Forwarded-For", true), "10.0.0.1", Pace::Eager, [with("").as_bytes()]);
    assert_eq!((outcome.events.len(), outcome.written.len(), outcome.closed_itself), (0, 0, true));
}

#[test]
fn https_is_believed_from_trusted_proxies_only() {
    let settings = HttpSettings {
        trust: ProxyTrust::new(&["10.0.0.0/8"], "X-Forwarded-For", false).unwrap(),
        ..HttpSettings::default()
    };
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http, HTTPS\r\n\r\n";
    for (peer, is_https) in [("10.0.0.1", true), ("192.0.2.9", false)] {
        let outcome = run(settings.clone(), peer, Pace::Eager, [&input[..]]);
        let Event::Request(words) = &outcome.events[0] else { panic!("{:?}", outcome.events) };
        assert_eq!(words.ends_with(" https"), is_https, "{words}");
    }
}

fn text(write: impl FnOnce(&Answers, &mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&Answers::at(NOW_MS), &mut out);
    statuses(&out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn every_answer_is_well_formed_and_says_why() {
    let dropped = text(|answers, out| answers.event_dropped(Reply::CLOSE, HitOutcomeCode::Bot, 3, out));
    assert!(dropped.starts_with("HTTP/1.1 202 ") && dropped.ends_with("Connection: close\r\n\r\nok"), "{dropped}");
    assert!(dropped.contains("\r\nX-Footfall-Dropped: bot\r\nX-Plausible-Dropped: 3\r\n"), "{dropped}");
    assert!(
        dropped.contains("Access-Control-Expose-Headers: X-Footfall-Dropped, X-Plausible-Dropped\r\n"),
        "{dropped}"
    );
    let umami = text(|answers, out| answers.json(Reply::CLOSE, Some(HitOutcomeCode::Bot), b"{\"beep\":\"boop\"}", out));
    assert!(umami.contains("X-Footfall-Dropped: bot\r\n") && umami.ends_with("\r\n\r\n{\"beep\":\"boop\"}"), "{umami}");
    let gif = text(|answers, out| answers.gif(Reply::CLOSE, Some(HitOutcomeCode::Rate), out));
    assert!(
        gif.contains("no-store") && gif.contains("X-Footfall-Dropped: rate\r\n") && gif.contains("Length: 43\r\n"),
        "{gif}"
    );
    let field = text(|answers, out| answers.field_error(Reply::CLOSE, "url", "not \"a\" URL\n", out));
    assert!(field.ends_with("\r\n\r\n{\"errors\":{\"url\":[\"not \\\"a\\\" URL\\u000a\"]}}"), "{field}");
    let unavailable = text(|answers, out| answers.unavailable(Reply::CLOSE, 30, out));
    assert!(unavailable.starts_with("HTTP/1.1 503 ") && unavailable.contains("Retry-After: 30\r\n"), "{unavailable}");
    assert_eq!(response::GIF.len(), 43);
    let mut answers = Answers::at(NOW_MS);
    answers.refresh(NOW_MS + 999);
    answers.refresh(NOW_MS + 1_000);
    let mut out = Vec::new();
    answers.event_accepted(Reply::CLOSE, &mut out);
    assert!(String::from_utf8_lossy(&out).contains("08:49:38 GMT"));
}

#[test]
fn own_headers_cannot_split_an_answer() {
    let answers = Answers::at(NOW_MS);
    let mut out = Vec::new();
    for (name, value) in [
        ("X-A", "b\r\nSet-Cookie: c"),
        ("X-A", "b\nc"),
        ("X-A", "b\rc"),
        ("X-A", "b\0"),
        ("X A", "b"),
        ("X-A\r\n", "b"),
        ("", "b"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
    ] {
        assert_eq!(
            answers.custom(Reply::CLOSE, 200, &[(name, value)], b"", &mut out),
            Err(response::UnsafeHeader),
            "{name:?}"
        );
        assert!(out.is_empty());
    }
    answers.custom(Reply::CLOSE, 429, &[("Retry-After", "1"), ("X-A", "b")], b"slow", &mut out).unwrap();
    let text = String::from_utf8_lossy(&out).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 429 Too Many Requests\r\nDate: ")
            && text.contains("\r\nRetry-After: 1\r\nX-A: b\r\n"),
        "{text}"
    );
    assert_eq!(statuses(&out), [429]);
}
