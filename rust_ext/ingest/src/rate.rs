//! Rates per address and per site in a table of fixed size.
//!
//! Each key has one number, the time at which its bucket would be full again (the generic cell rate algorithm): a hit
//! moves it one emission interval ahead and passes while it is at most a burst ahead of now. Keys are 64-bit seeded hashes, so a
//! sender cannot choose which keys share a set. A set has four ways; a fifth key takes the way that is full soonest,
//! and a forgotten key starts afresh: under pressure the table lets hits through, it never grows and never blocks a
//! stranger.
//!
//! One table belongs to one process. Behind N processes a key may reach N times its rate.

use std::hash::BuildHasher;
use std::net::IpAddr;

/// Microseconds of a second: the table's unit, fine enough for 1,000,000 hits per second and key.
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Ways of a set. Four buckets of 16 bytes are one cache line.
const WAYS: usize = 4;

/// Sets of the table that `RateTable::new` makes unless told otherwise: 65,536 keys in 1 MiB, more than the
/// addresses that one process sees within the second or two in which a bucket fills up again.
pub const DEFAULT_SETS: usize = 16_384;

/// One key's bucket.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Seeded hash of the key; 0 with `full_at_micros` 0 is a bucket never used.
    key: u64,
    /// When the bucket would be full again, microseconds since the epoch.
    full_at_micros: i64,
}

/// The buckets of one process.
#[derive(Debug)]
pub struct RateTable {
    sets: Box<[[Bucket; WAYS]]>,
    hasher: foldhash::fast::FixedState,
}

/// How many hits a key may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Sustained hits per second, at least 1.
    pub per_second: u32,
    /// Hits at once after a pause, at least 1.
    pub burst: u32,
}

impl Rate {
    /// A rate with two seconds' worth of burst: a page view brings its engagement, vitals and timings in one go.
    #[must_use]
    pub fn per_second(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Rate { per_second, burst: per_second.saturating_mul(2) }
    }
}

impl RateTable {
    /// A table of `sets` (rounded up to a power of two) times four keys.
    #[must_use]
    pub fn new(sets: usize, seed: u64) -> Self {
        let sets = sets.max(1).next_power_of_two();
        RateTable {
            sets: vec![[Bucket::default(); WAYS]; sets].into_boxed_slice(),
            hasher: foldhash::fast::FixedState::with_seed(seed),
        }
    }

    /// Takes one hit from the address's bucket. An IPv6 sender is its /64: that is what one line is given.
    pub fn allow_address(&mut self, address: IpAddr, rate: Rate, now_ms: i64) -> bool {
        let key = match address.to_canonical() {
            IpAddr::V4(v4) => self.hasher.hash_one((4_u8, u64::from(v4.to_bits()))),
            IpAddr::V6(v6) => self.hasher.hash_one((6_u8, v6.to_bits() >> 64)),
        };
        self.allow(key, rate, now_ms)
    }

    /// Takes one hit from the site's bucket.
    pub fn allow_site(&mut self, site_id: u32, rate: Rate, now_ms: i64) -> bool {
        let key = self.hasher.hash_one((1_u8, u64::from(site_id)));
        self.allow(key, rate, now_ms)
    }

    fn allow(&mut self, key: u64, rate: Rate, now_ms: i64) -> bool {
        let now = now_ms.saturating_mul(1_000);
        let interval = (MICROS_PER_SECOND / i64::from(rate.per_second.max(1))).max(1);
        let burst = interval.saturating_mul(i64::from(rate.burst.max(1)));
        let mask = self.sets.len().wrapping_sub(1);
        let set_index = usize::try_from(key >> 40).unwrap_or(0) & mask;
        let Some(set) = self.sets.get_mut(set_index) else {
            return true;
        };
        let found = set.iter().position(|bucket| bucket.key == key);
        let bucket = match found {
            Some(way) => set.get_mut(way),
            None => set.iter_mut().min_by_key(|bucket| bucket.full_at_micros),
        };
        let Some(bucket) = bucket else {
            return true;
        };
        if found.is_none() {
            *bucket = Bucket { key, full_at_micros: now };
        }
        // Further ahead than a burst no bucket can be: the clock was stepped back, and the key starts afresh.
        let full_at =
            if bucket.full_at_micros > now.saturating_add(burst) { now } else { bucket.full_at_micros.max(now) };
        let next = full_at.saturating_add(interval);
        let allowed = next.saturating_sub(now) <= burst;
        bucket.full_at_micros = if allowed { next } else { full_at };
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const T0_MS: i64 = 1_790_000_000_000;

    fn address(host: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(host))
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let mut table = RateTable::new(16, 1);
        let rate = Rate::per_second(10);
        let at_once = (0..50).filter(|_| table.allow_address(address(1), rate, T0_MS)).count();
        assert_eq!(at_once, 20);
        let later = (1..=10_000).filter(|ms| table.allow_address(address(1), rate, T0_MS + ms)).count();
        assert_eq!(later, 100);
        assert!(table.allow_address(address(2), rate, T0_MS), "another key is another bucket");
        assert!(table.allow_site(1, rate, T0_MS), "a site is not an address");
    }

    #[test]
    fn one_ipv6_line_is_one_key_and_a_mapped_address_is_its_ipv4() {
        let mut table = RateTable::new(16, 1);
        let rate = Rate { per_second: 1, burst: 1 };
        let line = |host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, host));
        assert!(table.allow_address(line(1), rate, T0_MS));
        assert!(!table.allow_address(line(2), rate, T0_MS));
        assert!(table.allow_address(address(9), rate, T0_MS));
        assert!(!table.allow_address(IpAddr::V6(Ipv4Addr::from(9).to_ipv6_mapped()), rate, T0_MS));
    }

    #[test]
    fn a_clock_stepped_back_blocks_nobody() {
        let mut table = RateTable::new(16, 1);
        let rate = Rate { per_second: 10, burst: 10 };
        for _ in 0..10 {
            assert!(table.allow_address(address(1), rate, T0_MS + 86_400_000));
        }
        let at_once = (0..20).filter(|_| table.allow_address(address(1), rate, T0_MS)).count();
        assert_eq!(at_once, 10, "a fresh burst");
    }

    #[test]
    fn a_full_set_forgets_the_bucket_that_is_full_soonest() {
        let mut table = RateTable::new(1, 1);
        let rate = Rate { per_second: 1, burst: 1 };
        for host in 0..4 {
            assert!(table.allow_address(address(host), rate, T0_MS + i64::from(host)));
        }
        assert!(table.allow_address(address(4), rate, T0_MS + 10), "takes the way of host 0");
        for host in 1..4 {
            assert!(!table.allow_address(address(host), rate, T0_MS + 20), "host {host} is remembered");
        }
        assert!(table.allow_address(address(0), rate, T0_MS + 20), "a forgotten key starts afresh");
    }

    /// The textbook bucket: tokens as a fraction, refilled by the time since the last hit.
    struct NaiveBucket {
        tokens: f64,
        last_ms: i64,
    }

    proptest! {
        #[test]
        fn equals_the_naive_token_bucket(
            per_second in prop::sample::select(vec![1_u32, 2, 4, 5, 8, 10, 20, 50, 100]),
            burst in 1_u32..40,
            gaps in prop::collection::vec(0_i64..400, 1..200),
        ) {
            let mut table = RateTable::new(4, 2);
            let mut naive = NaiveBucket { tokens: f64::from(burst), last_ms: T0_MS };
            let mut now_ms = T0_MS;
            for gap in gaps {
                now_ms += gap;
                #[allow(clippy::cast_precision_loss, reason = "gaps are small")]
                let refill = (now_ms - naive.last_ms) as f64 * f64::from(per_second) / 1_000.0;
                naive.tokens = (naive.tokens + refill).min(f64::from(burst));
                naive.last_ms = now_ms;
                let expected = naive.tokens >= 1.0 - 1e-9;
                if expected {
                    naive.tokens -= 1.0;
                }
                prop_assert_eq!(table.allow_address(address(1), Rate { per_second, burst }, now_ms), expected);
            }
        }
    }
}
