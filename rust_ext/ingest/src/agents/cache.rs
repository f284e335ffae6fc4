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
