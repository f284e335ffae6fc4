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
mod text;

pub mod bot;

use std::sync::Arc;

use crate::record::Device;
use crate::rules::Rules;
use cache::AgentCache;
pub use text::Agent;

/// Bytes of an agent that count; the rest is ignored. Real agents stay under 400, in-app browsers reach about 700; the cap bounds
/// what one hit may cost.
pub const AGENT_MAX_BYTES: usize = 1024;

/// The Client Hints headers of a hit, raw; a header that was not sent is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA`: brands with major versions.
    pub brands: Option<&'a [u8]>,
    /// `Sec-CH-UA-Mobile`: `?0` or `?1`.
    pub mobile: Option<&'a [u8]>,
    /// `Sec-CH-UA-Platform`, a quoted string.
    pub platform: Option<&'a [u8]>,
    /// `Sec-CH-UA-Platform-Version`, a quoted string.
    pub platform_version: Option<&'a [u8]>,
    /// `Sec-CH-UA-Model`, a quoted string.
    pub model: Option<&'a [u8]>,
    /// `Sec-CH-UA-Full-Version-List`: brands with full versions.
    pub full_version_list: Option<&'a [u8]>,
}

impl<'a> ClientHints<'a> {
    /// Whether any hint was sent.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.all().iter().any(Option::is_some)
    }

    /// All hints, in the order of the fields.
    fn all(&self) -> [Option<&'a [u8]>; 6] {
        [self.brands, self.mobile, self.platform, self.platform_version, self.model, self.full_version_list]
    }
}

/// Parses agents through a bounded cache. One per thread.
pub struct AgentParser {
    rules: Arc<Rules>,
    cache: AgentCache,
}

impl AgentParser {
    /// `seed` must be random per process, so that nobody can aim at cache sets; `cache_entries` is rounded up to a power of two.
    #[must_use]
    pub fn new(rules: Arc<Rules>, seed: [u64; 2], cache_entries: usize) -> AgentParser {
        AgentParser { rules, cache: AgentCache::new(seed, cache_entries) }
    }

    /// What the agent is. Never fails: an unknown agent has empty names, an empty one is a bot.
    pub fn parse<'p>(&'p mut self, agent: &[u8], hints: &ClientHints<'_>) -> &'p Agent {
        let agent = agent.get(..AGENT_MAX_BYTES).unwrap_or(agent);
        let rules = &self.rules;
        self.cache.get_or_insert_with(agent, hints, || resolve(rules, agent, hints))
    }

    /// The rules that answer here.
    #[must_use]
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }
}

/// The uncached answer.
fn resolve(_rules: &Rules, agent: &[u8], _hints: &ClientHints<'_>) -> Agent {
    let mask = if agent.is_empty() { bot::AGENT_IS_EMPTY } else { 0 };
    Agent::new("", "", "", "", Device::Unknown, mask)
}
