//! Why an agent is called a bot: a bit mask, stored with the outcome, so that a site can see the reasons and choose among them.
//!
//! Bits are stored in records and in ClickHouse: never renumber, only add.

/// One of isbot's patterns matches.
pub const ISBOT_PATTERN: u16 = 1;
/// On the list of crawlers.
pub const CRAWLER_LIST: u16 = 1 << 1;
/// uap's device rules say `Spider`.
pub const UAP_SPIDER: u16 = 1 << 2;
/// Empty, or no agent that a browser would send (too short, control characters, not one known product).
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
