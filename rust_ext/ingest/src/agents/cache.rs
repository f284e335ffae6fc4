//! The agents seen lately: a 4-way set-associative cache with the clock rule, keyed by a seeded 64-bit hash.
//!
//! Invariants:
//! - Memory is fixed when the cache is made; nothing in it grows.
//! - The key is the hash alone. The seed is random per process and secret, so a wrong hit needs a 64-bit accident: with 2^14
//!   entries one in 10^15 lookups of unseen agents.
//! - An agent is admitted on its second sight only: a doorkeeper table remembers the hash of the first. A flood of random agents
//!   therefore overwrites doorkeeper slots, not answers.
use std::hash::Hasher;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use super::{Agent, ClientHints};
use crate::record::Device;

/// Entries that share a set. Four tags of 8 bytes are half a cache line.
const WAYS: usize = 4;
/// Smallest cache: one set.
const MIN_ENTRIES: usize = WAYS;
/// Largest cache, 2^20 entries (about 140 MB): a misconfigured size must not exhaust the machine.
const MAX_ENTRIES: usize = 1 << 20;

/// One set: tags beside each other, 0 = free.
#[derive(Clone, Copy, Default)]
struct Set {
    tags: [u64; WAYS],
    /// Bit per way: looked up since the hand passed.
    used: u8,
    hand: u8,
}

pub(super) struct AgentCache {
    hasher_seed: u64,
    shared_seed: SharedSeed,
    sets: Vec<Set>,
    answers: Vec<Agent>,
    doorkeeper: Vec<u64>,
    /// The answer of an agent that was not admitted; overwritten by the next one.
    passing: Agent,
}

impl AgentCache {
    pub(super) fn new(seed: [u64; 2], entries: usize) -> AgentCache {
        let entries = entries.clamp(MIN_ENTRIES, MAX_ENTRIES).next_power_of_two();
        let empty = Agent::new("", "", "", "", Device::Unknown, 0);
        AgentCache {
            hasher_seed: seed[0],
            shared_seed: SharedSeed::from_u64(seed[1]),
            sets: vec![Set::default(); entries / WAYS],
            answers: vec![empty.clone(); entries],
            doorkeeper: vec![0; entries],
            passing: empty,
        }
    }

    pub(super) fn get_or_insert_with(
        &mut self,
        agent: &[u8],
        hints: &ClientHints<'_>,
        resolve: impl FnOnce() -> Agent,
    ) -> &Agent {
        let tag = self.tag(agent, hints);
        let set_index = index_of(tag, self.sets.len());
        let Some(set) = self.sets.get_mut(set_index) else {
            return &self.passing;
        };
        let way = match set.tags.iter().position(|&kept| kept == tag) {
            Some(way) => {
                set.used |= 1 << way;
                way
            }
            None => {
                let answer = resolve();
                // The doorkeeper is indexed by other bits than the set, so that sets do not share its collisions.
                let seen_before = match self.doorkeeper.get_mut(index_of(tag.rotate_left(32), self.answers.len())) {
                    Some(slot) => std::mem::replace(slot, tag) == tag,
                    None => false,
                };
                if !seen_before {
                    self.passing = answer;
                    return &self.passing;
                }
                let way = set.victim();
                if let (Some(kept), Some(slot)) = (set.tags.get_mut(way), self.answers.get_mut(set_index * WAYS + way))
                {
                    *kept = tag;
                    *slot = answer;
                }
                way
            }
        };
        self.answers.get(set_index * WAYS + way).unwrap_or(&self.passing)
    }

    /// Never 0, which marks a free way.
    fn tag(&self, agent: &[u8], hints: &ClientHints<'_>) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.hasher_seed, &self.shared_seed);
        hasher.write(agent);
        // Most hits of Chromium carry three hints, all others none.
        if hints.is_present() {
            hasher.write_usize(agent.len());
            for hint in hints.all() {
                match hint {
                    Some(value) => {
                        hasher.write_usize(value.len() + 1);
                        hasher.write(value);
                    }
                    None => hasher.write_usize(0),
                }
            }
        }
        hasher.finish().max(1)
    }
}

impl Set {
    /// The way to overwrite: a free one, else the first that was not used since the hand passed.
    fn victim(&mut self) -> usize {
        if let Some(free) = self.tags.iter().position(|&tag| tag == 0) {
            return free;
        }
        for _ in 0..=WAYS {
            let way = usize::from(self.hand) % WAYS;
            self.hand = self.hand.wrapping_add(1);
            if self.used & (1 << way) == 0 {
                return way;
            }
            self.used &= !(1 << way);
        }
        0
    }
}

/// `len` is a power of two.
fn index_of(tag: u64, len: usize) -> usize {
    usize::try_from(tag & (len as u64 - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    const NO_HINTS: ClientHints<'_> = ClientHints {
        brands: None,
        mobile: None,
        platform: None,
        platform_version: None,
        model: None,
        full_version_list: None,
    };

    fn named(name: &str) -> Agent {
        Agent::new(name, "", "", "", Device::Unknown, 0)
    }

    /// Looks up, and says whether the answer had to be made.
    fn look_up(cache: &mut AgentCache, agent: &str) -> bool {
        let mut was_made = false;
        let answer = cache.get_or_insert_with(agent.as_bytes(), &NO_HINTS, || {
            was_made = true;
            named(agent)
        });
        assert_eq!(answer.browser(), agent);
        was_made
    }

    #[test]
    fn admits_on_the_second_sight() {
        let mut cache = AgentCache::new([1, 2], 64);
        assert_eq!([0; 4].map(|_| look_up(&mut cache, "a")), [true, true, false, false]);
    }

    #[test]
    fn a_flood_of_random_agents_evicts_nothing() {
        let mut cache = AgentCache::new([3, 4], 256);
        let kept: Vec<String> = (0..64).map(|number| format!("kept {number}")).collect();
        for agent in &kept {
            look_up(&mut cache, agent);
            look_up(&mut cache, agent);
        }
        let resident: Vec<&String> = kept.iter().filter(|agent| !look_up(&mut cache, agent)).collect();
        for number in 0..100_000 {
            look_up(&mut cache, &format!("random {number}"));
        }
        assert!(resident.len() > 50);
        assert!(resident.iter().all(|agent| !look_up(&mut cache, agent)));
    }

    #[test]
    fn hints_are_part_of_the_key() {
        let mut cache = AgentCache::new([5, 6], 64);
        let mobile = ClientHints { mobile: Some(b"?1"), ..NO_HINTS };
        let platform = ClientHints { platform: Some(b"?1"), ..NO_HINTS };
        let tags = [NO_HINTS, mobile, platform].map(|hints| cache.tag(b"agent", &hints));
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2]);
        assert_ne!(cache.tag(b"agent?1", &NO_HINTS), cache.tag(b"agent", &mobile));
        let other = AgentCache::new([5, 7], 64);
        assert_ne!(other.tag(b"agent", &NO_HINTS), tags[0], "the seed counts");
        look_up(&mut cache, "agent");
    }

    #[test]
    fn sizes_are_rounded_and_bounded() {
        assert_eq!(AgentCache::new([0, 0], 0).answers.len(), MIN_ENTRIES);
        assert_eq!(AgentCache::new([0, 0], 100).answers.len(), 128);
    }

    proptest! {
        /// The twin is no cache at all: `look_up` asserts that each answer is that of its own agent.
        #[test]
        fn always_answers_for_the_agent_asked(agents in prop::collection::vec("[ab]{0,4}", 0..400), entries in 1_usize..32) {
            let mut cache = AgentCache::new([7, 8], entries);
            for agent in &agents {
                look_up(&mut cache, agent);
            }
        }
    }
}
