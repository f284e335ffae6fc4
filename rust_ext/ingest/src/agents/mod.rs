//! What a user agent says: browser, operating system, class of device, and the reasons to call it a bot.
//!
//! ```text
//! agent, hints → cache (seeded hash) → scan (the common grammar, strict gate) → bot rules → uap rules
//! ```
//!
//! Invariants:
//! - An answer depends on the agent, the hints and the rules only: the cache and the scan change its cost, never its content.
//! - `scan` answers only what the bot rules and the uap rules would answer alike; anything unknown falls through.
//! - What browsers freeze is never reported from the agent: no Mac version, not Windows 10 against 11, no Android version or model
//!   of a reduced agent, no iOS version frozen at 18. Client Hints fill some of it.
//!
//! An `AgentParser` belongs to one thread of one process; the `Rules` behind it are shared.
mod cache;
mod device;
mod filtered;
mod hints;
mod literals;
mod scan;
mod text;
mod uap;
mod versions;
mod words;

pub mod bot;

use std::sync::Arc;

use crate::record::Device;
use crate::rules::Rules;
pub(crate) use bot::BotRules;
use cache::AgentCache;
use filtered::Scratch;
pub use hints::ClientHints;
pub use text::Agent;
pub(crate) use uap::UapRules;
pub use uap::{DeviceModel, Versioned};
use versions::{Room, System};

/// Bytes of an agent that count; the rest is ignored. Browsers stay under 300, in-app browsers under 500. The cap bounds what one
/// hit may cost: the rules' worst case, an agent made for it, grows with the square (3.7 ms at 1,024 bytes, 1.3 ms at this).
pub const AGENT_MAX_BYTES: usize = 512;

/// The same for `AgentParser::uap`, which answers whole whatever a test asks.
const UAP_MAX_BYTES: usize = 2048;

/// Parses agents through a bounded cache. One per thread.
pub struct AgentParser {
    rules: Arc<Rules>,
    cache: AgentCache,
    scratch: Scratch,
}

/// All that uap's rules say about an agent; `None` = no rule matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UapAnswer {
    /// The browser.
    pub browser: Option<Versioned>,
    /// The operating system.
    pub system: Option<Versioned>,
    /// The device.
    pub device: Option<DeviceModel>,
}

impl AgentParser {
    /// `seed` must be random per process, so that nobody can aim at cache sets; `cache_entries` is rounded up to a power of two.
    #[must_use]
    pub fn new(rules: Arc<Rules>, seed: [u64; 2], cache_entries: usize) -> AgentParser {
        AgentParser { rules, cache: AgentCache::new(seed, cache_entries), scratch: Scratch::new() }
    }

    /// What the agent is. Never fails: an unknown agent has empty names, an empty one is a bot.
    pub fn parse<'p>(&'p mut self, agent: &[u8], hints: &ClientHints<'_>) -> &'p Agent {
        let agent = capped(agent);
        let AgentParser { rules, cache, scratch } = self;
        cache.get_or_insert_with(agent, hints, || resolve(rules, scratch, agent, hints))
    }

    /// The same without the cache.
    pub fn parse_uncached(&mut self, agent: &[u8], hints: &ClientHints<'_>) -> Agent {
        resolve(&self.rules, &mut self.scratch, capped(agent), hints)
    }

    /// What the scan alone says; `None` = not of the common grammar. For tests and benchmarks.
    #[must_use]
    pub fn scan(agent: &[u8]) -> Option<Agent> {
        scan::scan(capped(agent))
    }

    /// What the rules alone say, without scan and cache. For tests and benchmarks.
    pub fn parse_by_rules(&mut self, agent: &[u8]) -> Agent {
        by_rules(&self.rules, &mut self.scratch, capped(agent))
    }

    /// Everything that uap's rules say, as PyPI `ua-parser` would answer.
    pub fn uap(&mut self, agent: &[u8]) -> UapAnswer {
        let agent = agent.get(..UAP_MAX_BYTES).unwrap_or(agent);
        let (uap, scratch) = (self.rules.uap(), &mut self.scratch);
        UapAnswer {
            browser: uap.browser(agent, scratch),
            system: uap.system(agent, scratch),
            device: uap.device(agent, scratch),
        }
    }

    /// The rules that answer here.
    #[must_use]
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }
}

fn capped(agent: &[u8]) -> &[u8] {
    agent.get(..AGENT_MAX_BYTES).unwrap_or(agent)
}

/// The uncached answer.
fn resolve(rules: &Rules, scratch: &mut Scratch, agent: &[u8], hints: &ClientHints<'_>) -> Agent {
    let answer = scan::scan(agent).unwrap_or_else(|| by_rules(rules, scratch, agent));
    if hints.is_present() { hints::refine(answer, hints) } else { answer }
}

/// The answer of bot rules and uap rules, without the scan: its slow twin.
fn by_rules(rules: &Rules, scratch: &mut Scratch, agent: &[u8]) -> Agent {
    let evidence = rules.bots().evidence(agent, scratch);
    let model = rules.uap().device(agent, scratch);
    let mut bot_reasons = evidence.strong;
    match model.as_ref() {
        Some(model) if model.family == "Spider" => bot_reasons |= bot::UAP_SPIDER | evidence.weak,
        Some(model) if is_known(model) => {}
        _ => bot_reasons |= evidence.weak,
    }
    let browser = rules.uap().browser(agent, scratch).unwrap_or_default();
    let system = rules.uap().system(agent, scratch).unwrap_or_default();
    let number = |found: &'_ Option<String>| found.as_deref().unwrap_or_default().to_owned();
    let [browser_major, browser_minor, ..] = &browser.version;
    let [system_major, system_minor, ..] = &system.version;
    let (browser_major, browser_minor) = (number(browser_major), number(browser_minor));
    let (system_major, system_minor) = (number(system_major), number(system_minor));
    let (mut browser_room, mut system_room) = (Room::default(), Room::default());
    Agent::new(
        &browser.family,
        versions::join(&browser_major, &browser_minor, &mut browser_room),
        &system.family,
        System::from_uap(&system.family, &system_major, &system_minor, agent).version(&mut system_room),
        if bot_reasons == bot::NONE { device::class(agent) } else { Device::Bot },
        bot_reasons,
    )
}

/// A device by a brand of its own, not a generic one.
fn is_known(model: &DeviceModel) -> bool {
    model.brand.as_deref().is_some_and(|brand| !brand.starts_with("Generic"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::*;

    /// The pack beside the extension, once `make build` or `pack_rules.py` made it. The Python suite always has one; here its
    /// absence leaves out what only the real rules can show.
    fn built_rules() -> Option<Arc<Rules>> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules.pack");
        if !path.exists() {
            eprintln!("{} is not built: tests over the real rules are left out", path.display());
            return None;
        }
        Some(Rules::open(&path).unwrap())
    }

    const AGENTS: [&str; 6] = [
        "Mozilla/5.0 (Linux; U; Android 4.1.1; zh-CN; HTC J Build/JRO03C) AppleWebKit/534.31 (KHTML, like Gecko) UCBrowser/9.3.0.321",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Vivaldi/6.1",
        "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15",
        "SAMSUNG-SGH-M300V",
        "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10",
    ];

    #[test]
    fn every_real_rule_compiles_and_none_is_filtered_out() {
        let Some(rules) = built_rules() else { return };
        let (mut fast, mut naive) = (Scratch::new(), Scratch::new());
        for set in rules.uap().sets().into_iter().chain(rules.bots().sets()) {
            set.compile_all().unwrap();
            for agent in AGENTS {
                let fast = set.first_match(agent.as_bytes(), &mut fast).map(|found| (found.pattern, found.group(1)));
                let naive =
                    set.first_match_naive(agent.as_bytes(), &mut naive).map(|found| (found.pattern, found.group(1)));
                assert_eq!(fast, naive, "{agent}");
            }
        }
    }

    #[test]
    fn without_rules_scan_and_words_still_answer() {
        let mut parser = AgentParser::new(Rules::empty(), [1, 2], 16);
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36";
        assert_eq!(parser.parse(chrome.as_bytes(), &ClientHints::default()).browser(), "Chrome");
        let bot = parser.parse(b"FooBot/1.0", &ClientHints::default());
        assert_eq!((bot.device, bot.bot_reasons & bot::GENERIC_WORD), (Device::Bot, bot::GENERIC_WORD));
    }
}
