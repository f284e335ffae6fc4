//! The answer: four short strings in one inline buffer, so that a cache entry is two cache lines and owns nothing.
use crate::lanes::text_of;
use crate::record::Device;

/// Longest browser name kept; longer ones (app names out of `CFNetwork` agents) are cut at a character border.
const BROWSER_MAX_BYTES: usize = 44;
/// Longest operating system name kept.
const OS_MAX_BYTES: usize = 32;
/// Longest version kept: `1234.1234` and words like `10 or 11`.
const VERSION_MAX_BYTES: usize = 16;
/// All four.
const TEXT_BYTES: usize = BROWSER_MAX_BYTES + OS_MAX_BYTES + 2 * VERSION_MAX_BYTES;

/// What one agent is. 120 bytes, no heap.
#[derive(Clone)]
pub struct Agent {
    text: [u8; TEXT_BYTES],
    /// Ends of browser, browser version, OS, OS version in `text`.
    ends: [u8; 4],
    /// Bit mask of `bot` reasons; 0 for people.
    pub bot_reasons: u16,
    /// The class of device.
    pub device: Device,
}

impl Agent {
    /// Copies the strings, each cut at its limit.
    #[must_use]
    pub fn new(
        browser: &str,
        browser_version: &str,
        os: &str,
        os_version: &str,
        device: Device,
        bot_reasons: u16,
    ) -> Agent {
        let mut agent = Agent { text: [0; TEXT_BYTES], ends: [0; 4], bot_reasons, device };
        let mut used = 0_usize;
        let parts = [
            cut(browser, BROWSER_MAX_BYTES),
            cut(browser_version, VERSION_MAX_BYTES),
            cut(os, OS_MAX_BYTES),
            cut(os_version, VERSION_MAX_BYTES),
        ];
        for (part, end) in parts.iter().zip(&mut agent.ends) {
            if let Some(room) = agent.text.get_mut(used..used + part.len()) {
                room.copy_from_slice(part.as_bytes());
                used += part.len();
            }
            *end = u8::try_from(used).unwrap_or(u8::MAX);
        }
        agent
    }

    /// Browser, browser version, operating system and its version, as the methods below say them, at the price of one.
    #[must_use]
    pub fn texts(&self) -> [&str; 4] {
        let [browser, browser_version, os, os_version] = self.ends.map(usize::from);
        let text = self.text.get(..os_version).and_then(|text| text_of(text).ok()).unwrap_or_default();
        [0..browser, browser..browser_version, browser_version..os, os..os_version]
            .map(|part| text.get(part).unwrap_or_default())
    }

    /// The browser's family in uap's naming (`Chrome Mobile`, `Mobile Safari`), empty = unknown.
    #[must_use]
    pub fn browser(&self) -> &str {
        self.part(0, self.ends[0])
    }

    /// Major version, with the minor one when that is not 0 (`145`, `26.6`), empty = unknown.
    #[must_use]
    pub fn browser_version(&self) -> &str {
        self.part(self.ends[0], self.ends[1])
    }

    /// The operating system's family in uap's naming (`Mac OS X`, `Windows`), empty = unknown.
    #[must_use]
    pub fn os(&self) -> &str {
        self.part(self.ends[1], self.ends[2])
    }

    /// The system's version as far as it is known (never a frozen one), empty = unknown.
    #[must_use]
    pub fn os_version(&self) -> &str {
        self.part(self.ends[2], self.ends[3])
    }

    fn part(&self, start: u8, end: u8) -> &str {
        let bytes = self.text.get(usize::from(start)..usize::from(end)).unwrap_or_default();
        // `new` wrote whole characters between these ends.
        text_of(bytes).unwrap_or_default()
    }
}

impl PartialEq for Agent {
    fn eq(&self, other: &Agent) -> bool {
        self.browser() == other.browser()
            && self.browser_version() == other.browser_version()
            && self.os() == other.os()
            && self.os_version() == other.os_version()
            && self.device == other.device
            && self.bot_reasons == other.bot_reasons
    }
}

impl Eq for Agent {}

impl std::fmt::Debug for Agent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Agent")
            .field("browser", &self.browser())
            .field("browser_version", &self.browser_version())
            .field("os", &self.os())
            .field("os_version", &self.os_version())
            .field("device", &self.device)
            .field("bot_reasons", &self.bot_reasons)
            .finish()
    }
}

/// The longest prefix of at most `limit` bytes that ends at a character border.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use super::*;

    #[test]
    fn keeps_the_four_strings_apart() {
        let agent = Agent::new("Chrome", "145", "Windows", "10 or 11", Device::Desktop, 3);
        assert_eq!((agent.browser(), agent.browser_version()), ("Chrome", "145"));
        assert_eq!((agent.os(), agent.os_version()), ("Windows", "10 or 11"));
        assert_eq!((agent.device, agent.bot_reasons), (Device::Desktop, 3));
        assert_eq!(agent.texts(), ["Chrome", "145", "Windows", "10 or 11"]);
        assert!(size_of::<Agent>() <= 128);
    }

    #[test]
    fn cuts_at_a_character_border() {
        let long = "é".repeat(100);
        let agent = Agent::new(&long, &long, &long, &long, Device::Unknown, 0);
        assert_eq!(agent.browser(), "é".repeat(BROWSER_MAX_BYTES / 2));
        assert_eq!(agent.os_version(), "é".repeat(VERSION_MAX_BYTES / 2));
        assert_eq!(agent.texts(), [agent.browser(), agent.browser_version(), agent.os(), agent.os_version()]);
        assert_eq!(Agent::new("", "", "", "", Device::Unknown, 0).browser(), "");
    }
}
