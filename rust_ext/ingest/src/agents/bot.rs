//! Why an agent is called a bot: a bit mask, stored with the outcome, so that a site can see the reasons and choose among them.
//!
//! Bits are stored in records and in ClickHouse: never renumber, only add.
//!
//! Evidence comes from lists (isbot, crawler-user-agents, uap's `Spider`) and from words of our own that need no list. Evidence is
//! *weak* when it is the agent's shape alone, as in isbot's `^[\w\-]+/[\w]+$` or in `(compatible; Name)`: a device that uap knows
//! by brand overrules it, because old phones name themselves like that. Words are never overruled.
use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::filtered::{BadPattern, PatternSet, Scratch, Searcher};
use super::words::{Place, WORDS};
use crate::rules::{Row, RulesError, Tag};

/// A person, as far as the agent tells.
pub const NONE: u16 = 0;
/// One of isbot's patterns matches.
pub const ISBOT_PATTERN: u16 = 1;
/// On the list of crawlers.
pub const CRAWLER_LIST: u16 = 1 << 1;
/// uap's device rules say `Spider`.
pub const UAP_SPIDER: u16 = 1 << 2;
/// Empty, or nothing that a browser would send.
pub const AGENT_IS_EMPTY: u16 = 1 << 3;
/// A mark of a headless or driven browser.
pub const HEADLESS: u16 = 1 << 4;
/// `navigator.webdriver` was true. Set by the pipeline from the payload.
pub const WEBDRIVER: u16 = 1 << 5;
/// The address belongs to a data centre. Reserved.
pub const DATA_CENTRE: u16 = 1 << 6;
/// An HTTP library or command-line client.
pub const HTTP_LIBRARY: u16 = 1 << 7;
/// A generic word of machines (bot, crawl, spider, monitor, …) or a link to a description of the crawler.
pub const GENERIC_WORD: u16 = 1 << 8;

/// Bits and their names, for `rules_info` and dashboards.
pub const REASONS: [(u16, &str); 9] = [
    (ISBOT_PATTERN, "isbot_pattern"),
    (CRAWLER_LIST, "crawler_list"),
    (UAP_SPIDER, "uap_spider"),
    (AGENT_IS_EMPTY, "agent_is_empty"),
    (HEADLESS, "headless"),
    (WEBDRIVER, "webdriver"),
    (DATA_CENTRE, "data_centre"),
    (HTTP_LIBRARY, "http_library"),
    (GENERIC_WORD, "generic_word"),
];

/// Where an isbot pattern means people: it does not count in an agent that holds the text beside it.
const EXCUSES: [(&str, &str); 12] = [
    // Phones that run Java applications say so; the clients written in Java do not name a profile.
    ("java(?!;)", "MIDP"),
    ("java(?!;)", "CLDC"),
    ("java(?!;)", "Jbed"),
    // A plug-in of Internet Explorer.
    ("chromeframe", "MSIE"),
    // Apps in which people read pages.
    ("(?<! channel/|google/)google(?!(?:wv|app|/google| pixel))", "GooglePlus"),
    ("(?<! channel/|google/)google(?!(?:wv|app|/google| pixel))", "GooglePlayStore"),
    ("(?:^|[^g])news(?!sapphire)", "AppleNews"),
    ("^yahoo", "YahooMobile"),
    ("sogou", "SogouMobileBrowser"),
    // A television, and a version of Firefox.
    ("(?<! channel/|google/)google(?!(?:wv|app|/google| pixel))", "GoogleTV"),
    ("preview", "MozillaDeveloperPreview"),
    // A phone.
    ("radar", "HTC"),
];

/// A literal of the crawler list shorter than this also ends longer words (`RED/` in `WIRED/`): it must begin a word.
const WORD_LITERAL_MAX_BYTES: usize = 6;

/// What may follow `(compatible;` in a browser; crawlers put their names there.
const COMPATIBLE_BROWSERS: [&str; 6] = ["MSIE", "Konqueror", "Windows", "iCab", "IBrowse", "OmniWeb"];

/// Marks that only browsers and the apps that embed them carry.
const BROWSER_MARKS: [&str; 14] = [
    "Mozilla",
    "Opera",
    "AppleWebKit",
    "UCWEB",
    "FBAN",
    "iPhone",
    "iPad",
    "iOS",
    "Android",
    "Lynx",
    "Links (",
    "w3m/",
    "NetFront",
    "MIDP",
];

/// Shorter than any browser's agent; the shortest in use are those of old phones (`LGKU970`).
const AGENT_MIN_BYTES: usize = 5;

/// What the agent's bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evidence {
    /// Holds in any case.
    pub(crate) strong: u16,
    /// Holds unless the device is known.
    pub(crate) weak: u16,
}

/// The lists and the words.
pub(crate) struct BotRules {
    isbot: PatternSet,
    guards: Vec<Guard>,
    crawlers: PatternSet,
    words: Option<AhoCorasick>,
}

/// What isbot wrote as lookaround, and what its pattern is worth.
struct Guard {
    not_before: Vec<Box<[u8]>>,
    not_after: Vec<Box<[u8]>>,
    excuses: Vec<&'static str>,
    is_weak: bool,
}

impl BotRules {
    /// No lists, only our own words.
    pub(crate) fn empty() -> BotRules {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(WORDS.iter().map(|(word, ..)| word));
        BotRules { isbot: PatternSet::empty(), guards: Vec::new(), crawlers: PatternSet::empty(), words: words.ok() }
    }

    /// The sections `isbt` and `crwl`.
    pub(crate) fn from_rows(isbot: (Tag, Vec<Row<'_>>), crawlers: (Tag, Vec<Row<'_>>)) -> Result<BotRules, RulesError> {
        let guards = isbot
            .1
            .iter()
            .map(|row| Ok(Guard::new(row.need(0)?, row.get(1), row.get(2))))
            .collect::<Result<_, RulesError>>()?;
        Ok(BotRules {
            isbot: pattern_set(isbot, true)?,
            guards,
            crawlers: pattern_set(crawlers, false)?,
            ..BotRules::empty()
        })
    }

    /// All the evidence in the agent; the device is for the caller to ask.
    pub(crate) fn evidence(&self, agent: &[u8], scratch: &mut Scratch) -> Evidence {
        let mut evidence = Evidence { strong: self.words(agent), weak: shape(agent) };
        if is_compatible_other(agent) {
            evidence.weak |= GENERIC_WORD;
        }
        let is_strong = self.isbot.any_candidate(agent, scratch, |number, searcher| {
            let Some(guard) = self.guards.get(number) else { return false };
            let is_match = guard.admits(agent, searcher);
            if is_match && guard.is_weak {
                evidence.weak |= ISBOT_PATTERN;
            }
            is_match && !guard.is_weak
        });
        if is_strong {
            evidence.strong |= ISBOT_PATTERN;
        }
        if self.crawlers.any_candidate(agent, scratch, |_, searcher| is_crawler(agent, searcher)) {
            evidence.strong |= CRAWLER_LIST;
        }
        evidence
    }

    /// Bits of the words that stand where they count.
    fn words(&self, agent: &[u8]) -> u16 {
        let found = self.words.iter().flat_map(|words| words.find_overlapping_iter(agent));
        found.fold(NONE, |bits, found| {
            let Some(&(word, place, bit)) = WORDS.get(found.pattern().as_usize()) else { return bits };
            if place_holds(place, word, agent, found.start(), found.end()) { bits | bit } else { bits }
        })
    }

    #[cfg(test)]
    pub(crate) fn sets(&self) -> [&PatternSet; 2] {
        [&self.isbot, &self.crawlers]
    }
}

fn pattern_set((tag, rows): (Tag, Vec<Row<'_>>), ignore_case: bool) -> Result<PatternSet, RulesError> {
    let sources = rows.iter().map(|row| Ok((row.need(0)?, ignore_case))).collect::<Result<Vec<_>, RulesError>>()?;
    PatternSet::new(sources.into_iter()).map_err(|(pattern, BadPattern(reason))| RulesError::Regex {
        tag,
        pattern,
        reason,
    })
}

impl Guard {
    fn new(pattern: &str, not_before: Option<&str>, not_after: Option<&str>) -> Guard {
        let texts = |list: Option<&str>| {
            list.map_or_else(Vec::new, |list| list.split('\n').map(|text| text.as_bytes().into()).collect())
        };
        let excuses = EXCUSES
            .iter()
            .filter(|(excused, _)| without_lookaround(excused) == pattern)
            .map(|(_, text)| *text)
            .collect();
        Guard { excuses, not_before: texts(not_before), not_after: texts(not_after), is_weak: is_shape(pattern) }
    }

    /// Whether the pattern matches somewhere with none of the forbidden texts beside it.
    fn admits(&self, agent: &[u8], searcher: &mut Searcher<'_>) -> bool {
        if self.excuses.iter().any(|text| contains(agent, text)) {
            return false;
        }
        if self.not_before.is_empty() && self.not_after.is_empty() {
            return searcher.is_match();
        }
        let mut from = 0;
        while let Some((start, end)) = searcher.find_from(from) {
            let (before, after) = (agent.get(..start).unwrap_or_default(), agent.get(end..).unwrap_or_default());
            let is_forbidden = self.not_before.iter().any(|text| ends_with(before, text))
                || self.not_after.iter().any(|text| starts_with(after, text));
            if !is_forbidden {
                return true;
            }
            from = start + 1;
        }
        false
    }
}

/// isbot's pattern as the packer leaves it.
fn without_lookaround(pattern: &str) -> &str {
    let pattern = match pattern.strip_prefix("(?<!") {
        Some(rest) => rest.split_once(')').map_or(rest, |(_, rest)| rest),
        None => pattern,
    };
    pattern.split_once("(?!").map_or(pattern, |(core, _)| core)
}

/// A match of the crawler list; short ones at the beginning of a word only.
fn is_crawler(agent: &[u8], searcher: &mut Searcher<'_>) -> bool {
    let mut from = 0;
    while let Some((start, end)) = searcher.find_from(from) {
        let before = start.checked_sub(1).and_then(|at| agent.get(at));
        if end - start >= WORD_LITERAL_MAX_BYTES || !before.is_some_and(u8::is_ascii_alphanumeric) {
            return true;
        }
        from = start + 1;
    }
    false
}

fn starts_with(text: &[u8], head: &[u8]) -> bool {
    text.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head))
}

fn ends_with(text: &[u8], tail: &[u8]) -> bool {
    text.len().checked_sub(tail.len()).and_then(|at| text.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(tail))
}

/// A pattern without any word of three letters describes a shape. Escapes (`\w`) are no letters.
fn is_shape(pattern: &str) -> bool {
    let mut run = 0;
    let mut is_escaped = false;
    for character in pattern.chars() {
        run = if character.is_ascii_alphabetic() && !is_escaped { run + 1 } else { 0 };
        if run == 3 {
            return false;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    true
}

/// Shapes of our own.
fn shape(agent: &[u8]) -> u16 {
    // Control characters: no browser sends them.
    if agent.len() < AGENT_MIN_BYTES
        || agent.iter().any(u8::is_ascii_control)
        || !agent.iter().any(u8::is_ascii_alphabetic)
    {
        return AGENT_IS_EMPTY;
    }
    let is_browser_like = BROWSER_MARKS.iter().any(|mark| contains(agent, mark));
    // A browser says what it runs on, in parentheses.
    if !is_browser_like || !agent.contains(&b'(') { AGENT_IS_EMPTY } else { NONE }
}

/// Whether something that is no browser says that it is compatible with one: `Mozilla/5.0 (compatible; Name/1.0)`.
fn is_compatible_other(agent: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(agent, b"compatible") else { return false };
    let after = agent.get(at + b"compatible".len()..).unwrap_or_default();
    let name = match after {
        [b';', name @ ..] | [b')', name @ ..] => name.trim_ascii_start(),
        _ => return false,
    };
    // Old browsers put themselves elsewhere: `Mozilla/4.0 (PDA; …) (compatible; …)`, `Mozilla/4.0 (compatible; MSIE 6.0; …) Opera`.
    !COMPATIBLE_BROWSERS
        .iter()
        .any(|browser| starts_with(name, browser.as_bytes()) || contains(agent, browser) && *browser != "Windows")
}

fn contains(agent: &[u8], text: &str) -> bool {
    memchr::memmem::find(agent, text.as_bytes()).is_some()
}

fn place_holds(place: Place, word: &str, agent: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| agent.get(at)).copied();
    let after = agent.get(end).copied();
    let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic());
    match place {
        Place::Anywhere => true,
        Place::Start => start == 0,
        Place::Word => !is_letter(before) && !is_letter(after),
        Place::WordStart => !is_letter(before),
        Place::Product => !is_letter(before) && after == Some(b'/'),
        Place::BotName => {
            // "bot" or "bots" at the end of a word; not the phones named Cubot, nor "robot" devices of old Android builds.
            let head = agent.get(..start).unwrap_or_default();
            let plural =
                after.is_some_and(|byte| byte.eq_ignore_ascii_case(&b's')) && !is_letter(agent.get(end + 1).copied());
            debug_assert_eq!(word, "bot");
            (!is_letter(after) || plural) && !ends_with(head, b"cu")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::*;

    fn strong(agent: &str) -> u16 {
        BotRules::empty().evidence(agent.as_bytes(), &mut Scratch::new()).strong
    }

    #[test]
    fn words_count_where_they_stand() {
        for agent in [
            "Mozilla/5.0 (compatible; FooBot/2.1)",
            "Mozilla/5.0 (compatible; foo-bots)",
            "FooCrawler",
            "a web spider b",
        ] {
            assert_ne!(strong(agent) & GENERIC_WORD, 0, "{agent}");
        }
        for agent in [
            "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19_S Build/P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; bottle) Chrome/1.0",
        ] {
            assert_eq!(strong(agent), NONE, "{agent}");
        }
        assert_ne!(strong("curl/8.5.0") & HTTP_LIBRARY, 0);
        assert_ne!(strong("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/145.0.0.0 Safari/537.36") & HEADLESS, 0);
    }

    #[test]
    fn compatible_programs_are_bots() {
        for agent in
            ["Mozilla/5.0 (compatible; Dataprovider.com)", "Mozilla/5.0 (X11) (KHTML, like Gecko; compatible; BW/1.2)"]
        {
            assert!(is_compatible_other(agent.as_bytes()), "{agent}");
        }
        for agent in [
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)",
            "Mozilla/5.0 (compatible; Konqueror/4.5; Linux)",
            "Mozilla/4.0 (Windows; MSIE 6.0; Windows NT 5.1; compatible; SV1)",
            "Mozilla/5.0 (X11; Linux x86_64)",
        ] {
            assert!(!is_compatible_other(agent.as_bytes()), "{agent}");
        }
    }

    #[test]
    fn excuses_name_patterns_as_packed() {
        assert_eq!(without_lookaround("(?<! channel/|google/)google(?!(?:wv|app|/google| pixel))"), "google");
        assert_eq!(without_lookaround("java(?!;)"), "java");
        assert_eq!(without_lookaround("radar"), "radar");
    }

    #[test]
    fn shapes_are_weak() {
        assert!(is_shape(r"^[\w\-]+/[\w]+$") && is_shape(r"\|") && is_shape(r"^[^ ]{50,}$"));
        assert!(!is_shape("crawl") && !is_shape("^bot") && !is_shape(r"\.com\b"));
        let evidence = |agent: &str| BotRules::empty().evidence(agent.as_bytes(), &mut Scratch::new());
        assert_eq!(evidence("SAMSUNG-SGH-M300V"), Evidence { strong: NONE, weak: AGENT_IS_EMPTY });
        assert_eq!(evidence("Mozilla/5.0 (X11; Linux x86_64)").weak, NONE);
        assert_eq!(evidence("Mozilla/5.0\u{1} (X11)").weak, AGENT_IS_EMPTY);
        assert_eq!(evidence("").weak, AGENT_IS_EMPTY);
    }

    #[test]
    fn bits_are_distinct() {
        let all = REASONS.iter().fold(0_u16, |all, (bit, _)| all | bit);
        assert_eq!(usize::try_from(all.count_ones()).unwrap(), REASONS.len());
    }
}
