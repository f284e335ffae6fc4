//! URL tables, and the naive twin: the same answers built from owned strings, one rule per line.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn with_scratch<T>(run: impl FnOnce(&mut Scratch<'static>) -> T) -> T {
    run(&mut Scratch::new(Box::leak(vec![0; 64 * 1024].into_boxed_slice())))
}

fn page(url: &'static str, hash_mode: bool) -> Result<(&'static str, &'static str, &'static str), UrlError> {
    with_scratch(|scratch| parse(url, hash_mode, scratch).map(|page| (page.hostname, page.path, page.query)))
}

#[test]
fn pages() {
    for (url, expected) in [
        ("https://example.com", Ok(("example.com", "/", ""))),
        ("https://example.com/", Ok(("example.com", "/", ""))),
        ("HTTPS://WWW.Example.COM/A/b?x=1#top", Ok(("example.com", "/A/b", "x=1"))),
        ("https://www.de/x", Ok(("www.de", "/x", ""))),
        ("https://user:secret@example.com:8443/p", Ok(("example.com", "/p", ""))),
        ("https://example.com.:443", Ok(("example.com", "/", ""))),
        ("https://example.com?x=1", Ok(("example.com", "/", "x=1"))),
        ("https://example.com#x", Ok(("example.com", "/", ""))),
        ("https://example.com/a%20b/%C3%A9%2Fx%3Fy%23z%25", Ok(("example.com", "/a b/é%2Fx%3Fy%23z%25", ""))),
        ("https://example.com/%ff", Ok(("example.com", "/%ff", ""))),
        ("https://example.com/%0a%00%7F", Ok(("example.com", "/%0a%00%7F", ""))),
        ("https://example.com/%zz%4", Ok(("example.com", "/%zz%4", ""))),
        ("https://example.com/a%20", Ok(("example.com", "/a", ""))),
        ("https://example.com/%20", Ok(("example.com", "/", ""))),
        (" https://example.com/x ", Ok(("example.com", "/x", ""))),
        ("https://bücher.example/日本", Ok(("bücher.example", "/日本", ""))),
        ("http://[2001:DB8::1]:80/x", Ok(("[2001:db8::1]", "/x", ""))),
        ("http://127.0.0.1:8000/", Ok(("127.0.0.1", "/", ""))),
        ("app://localhost/index.html", Ok(("localhost", "/index.html", ""))),
        ("capacitor://localhost", Ok(("localhost", "/", ""))),
        ("file:///home/me/x.html", Ok(("(none)", "/home/me/x.html", ""))),
        ("https:///x", Err(UrlError::Invalid)),
        ("https://", Err(UrlError::Invalid)),
        ("https://exa mple.com/", Err(UrlError::Invalid)),
        ("https://example.com:port/", Err(UrlError::Invalid)),
        ("https://<script>/", Err(UrlError::Invalid)),
        ("https://example.com/\n", Ok(("example.com", "/", ""))),
        ("https://example.com/\na", Err(UrlError::Invalid)),
        ("/path", Err(UrlError::Invalid)),
        ("example.com/path", Err(UrlError::Invalid)),
        ("localhost:8000/path", Err(UrlError::Invalid)),
        ("1http://example.com/", Err(UrlError::Invalid)),
        ("", Err(UrlError::Invalid)),
        ("data:text/html,x", Err(UrlError::Scheme)),
        ("DATA://x/y", Err(UrlError::Scheme)),
        ("javascript:alert(1)", Err(UrlError::Scheme)),
        ("about:blank", Err(UrlError::Scheme)),
        ("blob:https://example.com/x", Err(UrlError::Scheme)),
    ] {
        assert_eq!(page(url, false), expected, "{url:?}");
    }
    let long = format!("https://{}.example/", "a".repeat(250));
    assert_eq!(page(long.leak(), false), Err(UrlError::Invalid));
}

#[test]
fn hash_routing_keeps_the_fragments_path() {
    for (url, expected) in [
        ("https://example.com/#/a/b", "/#/a/b"),
        ("https://example.com#/a", "/#/a"),
        ("https://example.com/app?x=1#/a%20b", "/app#/a b"),
        ("https://example.com/app#/a?token=secret", "/app#/a"),
        ("https://example.com/app#?token=secret", "/app"),
        ("https://example.com/app#", "/app"),
        ("https://example.com/%C3%A9#x", "/é#x"),
    ] {
        assert_eq!(page(url, true).unwrap().1, expected, "{url:?}");
    }
}

#[test]
fn hostname_and_url_apart() {
    for (hostname, url, expected) in [
        ("Example.com", "/a?b=c#d", Ok(("example.com", "/a", "b=c"))),
        ("www.example.com", "", Ok(("example.com", "/", ""))),
        ("example.com", "about", Ok(("example.com", "/about", ""))),
        ("example.com", "?x=1", Ok(("example.com", "/", "x=1"))),
        ("example.com", "https://other.test/a?b", Ok(("example.com", "/a", "b"))),
        ("", "https://www.other.test/a?b", Ok(("other.test", "/a", "b"))),
        ("", "/a:b", Ok(("(none)", "/a:b", ""))),
        ("", "", Ok(("(none)", "/", ""))),
        ("exa mple", "/", Err(UrlError::Invalid)),
        ("example.com", "data:x", Err(UrlError::Scheme)),
        ("example.com", "/a\u{7}b", Err(UrlError::Invalid)),
    ] {
        let parsed = with_scratch(|scratch| parse_parts(hostname, url, scratch));
        assert_eq!(parsed.map(|page| (page.hostname, page.path, page.query)), expected, "{hostname} {url}");
    }
}

#[test]
fn referrers() {
    for (url, expected) in [
        ("", ("", "")),
        ("https://www.google.com/", ("google.com", "google.com")),
        ("https://news.example.org/a/b/?q=secret#x", ("news.example.org", "news.example.org/a/b")),
        ("https://User:pw@Blog.Example.org:8080/X", ("blog.example.org", "blog.example.org/X")),
        ("https://www.page.test/other", ("", "")),
        ("http://page.test:8080", ("", "")),
        ("https://shop.page.test/", ("shop.page.test", "shop.page.test")),
        ("android-app://com.google.android.gm/", ("com.google.android.gm", "com.google.android.gm")),
        ("about:blank", ("", "")),
        ("chrome-extension://abc/x", ("", "")),
        ("nonsense", ("", "")),
        ("https://", ("", "")),
    ] {
        let found = with_scratch(|scratch| referrer(url, "page.test", scratch));
        assert_eq!((found.hostname, found.text), expected, "{url}");
    }
}

#[test]
fn campaigns() {
    let read = |query: &'static str| with_scratch(|scratch| campaign(query, 20, scratch));
    let found =
        read("utm_source=News+Letter&utm_medium=e%2Dmail&utm_campaign=%C3%A9t%C3%A9&utm_term=a%26b&utm_content=x");
    assert_eq!(
        (found.utm_source, found.utm_medium, found.utm_campaign, found.utm_term, found.utm_content),
        ("News Letter", "e-mail", "été", "a&b", "x")
    );
    assert_eq!(read("UTM_SOURCE=x&utm_sourc=y&xutm_source=z").utm_source, "");
    assert_eq!(read("utm_source=&utm_source=a&utm_source=b").utm_source, "a");
    assert_eq!(read("utm_source=%ff").utm_source, "%ff");
    assert_eq!(read("utm_source=abcdefghijklmnopqrs%C3%A9").utm_source, "abcdefghijklmnopqrs");
    assert_eq!(read("ref=a&source=b").source_tag, "b");
    assert_eq!(read("ref=a").source_tag, "a");
    assert_eq!(read("q=1&gclid=secret&fbclid=secret").click_id, "gclid");
    assert_eq!(read("gclid=&gclid").click_id, "");
    assert_eq!(read("token=secret&email=a@b.c"), Campaign::default());
    assert_eq!(read("&&=&"), Campaign::default());
}

/// The path rule in owned strings: escapes of whole UTF-8 text undone, meaning-bearing ones kept.
fn naive_path(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut index = 0;
    while index < path.len() {
        let escape = path.get(index..index + 3).filter(|escape| escape.starts_with('%'));
        let value = escape
            .and_then(|escape| u8::from_str_radix(&escape[1..], 16).ok())
            .filter(|_| !path[index + 1..].starts_with('+'));
        match value {
            Some(value) if !(value < 32 || value == 127 || b"/?#%".contains(&value)) => {
                bytes.push(value);
                index += 3;
            }
            _ => {
                bytes.push(path.as_bytes()[index]);
                index += 1;
            }
        }
    }
    let decoded = String::from_utf8(bytes).unwrap_or_else(|_| path.to_owned());
    let trimmed = decoded.trim_end();
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

proptest! {
    #[test]
    fn equals_the_naive_twin(
        host in "(www\\.)?[a-zA-Z0-9-]{1,8}(\\.[a-z]{2,5}){1,2}",
        port in prop::option::of(1_u16..),
        path in "(/[a-z%éC3A9 20+F-]{0,12}){0,4}",
        query in prop::option::of("[a-z=&%]{0,20}"),
        fragment in prop::option::of("[a-z/?=&]{0,20}"),
    ) {
        let mut url = format!("https://{host}");
        if let Some(port) = port { url += &format!(":{port}"); }
        url += &path;
        if let Some(query) = &query { url += &format!("?{query}"); }
        if let Some(fragment) = &fragment { url += &format!("#{fragment}"); }
        let mut space = vec![0; url.len() * 4];
        let mut scratch = Scratch::new(&mut space);
        let page = parse(&url, false, &mut scratch).unwrap();
        let lower = host.to_lowercase();
        let bare = match lower.strip_prefix("www.") { Some(rest) if rest.contains('.') => rest, _ => &lower };
        prop_assert_eq!(page.hostname, bare);
        // A URL is trimmed as a whole before it is split.
        let path = if query.is_none() && fragment.is_none() { path.trim_end() } else { &path };
        prop_assert_eq!(page.path, naive_path(path));
        let query = query.unwrap_or_default();
        prop_assert_eq!(page.query, if fragment.is_none() { query.trim_end() } else { &query });
    }

    #[test]
    fn no_input_panics_and_only_allowed_parts_survive(url: String, hostname: String, hash_mode: bool) {
        let mut space = vec![0; (url.len() + hostname.len()) * 8 + 64];
        let mut scratch = Scratch::new(&mut space);
        if let Ok(page) = parse(&url, hash_mode, &mut scratch) {
            prop_assert!(page.path.starts_with('/') && !page.hostname.is_empty());
            prop_assert!(!page.path.contains('?'));
        }
        if let Ok(page) = parse_parts(&hostname, &url, &mut scratch) {
            prop_assert!(page.path.starts_with('/') && !page.path.contains(['?', '#']));
        }
        let from = referrer(&url, &hostname, &mut scratch);
        prop_assert!(!from.text.contains(['?', '#']));
        campaign(&url, 255, &mut scratch);
    }
}
