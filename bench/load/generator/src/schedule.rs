//! When hits are due: at a constant rate, or at moments of their own as of many senders (a Poisson process).
//!
//! Nothing that the server does moves a due time. That is what makes a load open: a server that stalls for 200 ms at
//! 1,000 hits a second makes 200 hits wait, and all 200 show in the latencies.

const NS_PER_S: f64 = 1e9;

/// SplitMix64 (Steele, Lea, Flood 2014): seeded, so that two runs have the same due times.
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform over all of u64.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1].
    fn next_share(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// The due times of hits, one after the other, in ns since the start.
pub struct Schedule {
    interval_ns: f64,
    number: u64,
    due_ns: f64,
    random: Option<Random>,
}

impl Schedule {
    /// `rate_per_s` 0: every hit is due at once (a closed loop). `random` None: equal distances.
    pub fn new(rate_per_s: f64, random: Option<Random>) -> Self {
        let interval_ns = if rate_per_s > 0.0 { NS_PER_S / rate_per_s } else { 0.0 };
        Self { interval_ns, number: 0, due_ns: 0.0, random }
    }

    /// When the next hit is due.
    pub fn due_ns(&self) -> u64 {
        self.due_ns as u64
    }

    /// The next hit was taken.
    pub fn advance(&mut self) {
        self.number += 1;
        self.due_ns = match &mut self.random {
            // From the number, not from the time before: no error adds up over an hour.
            None => self.number as f64 * self.interval_ns,
            Some(random) => self.due_ns - random.next_share().ln() * self.interval_ns,
        };
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn due_times(mut schedule: Schedule, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| {
                let due_ns = schedule.due_ns();
                schedule.advance();
                due_ns
            })
            .collect()
    }

    #[test]
    fn a_constant_rate_has_equal_distances_and_no_drift() {
        let due = due_times(Schedule::new(3.0, None), 3_000_001);
        assert_eq!(due.first().copied(), Some(0));
        assert_eq!(due.get(1).copied(), Some(333_333_333));
        assert_eq!(due.last().copied(), Some(1_000_000_000_000_000));
    }

    #[test]
    fn a_poisson_process_has_the_rate_and_the_spread_of_one() {
        let due = due_times(Schedule::new(1_000.0, Some(Random::new(7))), 200_001);
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.02 && (deviation - 1.0).abs() < 0.02, "{mean} {deviation}");
    }

    #[test]
    fn a_closed_loop_is_always_due() {
        assert!(due_times(Schedule::new(0.0, None), 1_000).iter().all(|&due_ns| due_ns == 0));
    }
}
