//! Invariant: no bytes make the parser panic; the cache changes no answer; an agent that the scan reads is no bot, and is read
//! again alike; every name is short UTF-8 text. With `FOOTFALL_RULES_PACK` set, the scan must also equal the rules.
//!
//! A byte from 0xE0 stands for one of `WORDS`, so that the fuzzer writes whole agents from its first second on.
#![no_main]
use std::path::Path;
use std::sync::{Arc, LazyLock};

use footfall_ingest::agents::{AgentParser, ClientHints};
use footfall_ingest::rules::Rules;
use libfuzzer_sys::fuzz_target;

const FIRST_WORD: u8 = 0xE0;
const WORDS: [&str; 32] = [
    "Mozilla/5.0 (",
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "iPhone; CPU iPhone OS 18_7 like Mac OS X",
    "Linux; Android 14; ",
    "Android 15; Mobile",
    "K",
    "SM-G991B",
    " Build/UP1A.231005.007",
    "; wv",
    "; rv:145.0",
    ") AppleWebKit/537.36 (KHTML, like Gecko)",
    ") Gecko/20100101",
    " Chrome/145.0.0.0",
    " Safari/537.36",
    " Mobile",
    " Mobile/15E148",
    " Version/26.1",
    " Version/4.0",
    " Firefox/145.0",
    " Edg/145.0.0.0",
    " CriOS/145.0.0.0",
    " SamsungBrowser/28.0",
    "compatible; ",
    "bot",
    "crawl",
    "http://",
    "Opera/9.80 (",
    "(",
    ")",
    "\"Chromium\";v=\"145\"",
];

static RULES: LazyLock<(Arc<Rules>, bool)> = LazyLock::new(|| match std::env::var_os("FOOTFALL_RULES_PACK") {
    Some(path) => (Rules::open(Path::new(&path)).expect("FOOTFALL_RULES_PACK names a pack"), true),
    None => (Rules::empty(), false),
});

fuzz_target!(|data: &[u8]| {
    let (rules, has_pack) = &*RULES;
    let mut agent = Vec::new();
    for &byte in data {
        match byte.checked_sub(FIRST_WORD) {
            Some(word) => agent.extend_from_slice(WORDS[usize::from(word)].as_bytes()),
            None => agent.push(byte),
        }
    }
    // A cache of one set, so that it evicts; the second half of the input is the hints.
    let mut parser = AgentParser::new(Arc::clone(rules), [1, 2], 4);
    let half = agent.len() / 2;
    let hint = agent.get(half..);
    let hints = ClientHints {
        brands: hint,
        mobile: Some(b"?1"),
        platform: hint,
        platform_version: hint,
        ..ClientHints::default()
    };
    for hints in [hints, ClientHints::default()] {
        let fresh = parser.parse_uncached(&agent, &hints);
        for _ in 0..3 {
            assert_eq!(*parser.parse(&agent, &hints), fresh);
        }
        assert!(
            fresh.browser().len() + fresh.os().len() + fresh.browser_version().len() + fresh.os_version().len() <= 128
        );
    }
    if let Some(scanned) = AgentParser::scan(&agent) {
        assert_eq!(scanned.bot_reasons, 0);
        if *has_pack {
            assert_eq!(scanned, parser.parse_by_rules(&agent));
        }
    }
});
