//! When to wait a moment before looking: under load one wake-up then serves many sockets instead of one.
//!
//! Waking the loop, and the writer behind it, costs more than handling a hit does, on both ends of the connection. A
//! network card has the same trouble and the same cure, interrupt moderation. What it costs is [`PAUSE`] of latency, and
//! only while pauses gather something: 60,000 hits a second took 12.5 us of CPU each instead of 16, measured.
use std::time::Duration;

/// Short beside any network's way; gathers six sockets at 30,000 hits a second. Half of it gathers too few, measured.
pub const PAUSE: Duration = Duration::from_micros(200);

/// A pause that gathers fewer was not worth its wake-up.
const PAYS_FROM: usize = 4;

/// So many sockets are a turn's work already. Clients that wait for one another's answers would only wait longer.
const ENOUGH: usize = 8;

/// A lull does not end the habit: so many pauses in a row must have gathered too little.
const PATIENCE_PAUSES: u32 = 8;

/// While it does not pay, one turn in so many tries it. A client that sends one hit after the other is held up by a
/// pause each time: this bounds it to a few percent.
const TRY_EVERY_TURNS: u32 = 256;

/// Judges by what the last pauses gathered.
#[derive(Debug, Default)]
pub struct Pace {
    pauses_left: u32,
    turns_without: u32,
}

impl Pace {
    /// Whether to wait for [`PAUSE`] and look again, when so many sockets are ready now.
    pub fn waits(&mut self, ready: usize) -> bool {
        if self.pauses_left > 0 || self.turns_without >= TRY_EVERY_TURNS {
            return ready < ENOUGH;
        }
        self.turns_without += 1;
        false
    }

    /// Says how many were ready after a pause.
    pub fn gathered(&mut self, ready: usize) {
        self.pauses_left = if ready >= PAYS_FROM { PATIENCE_PAUSES } else { self.pauses_left.saturating_sub(1) };
        self.turns_without = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many turns waited, when each pause gathers `after` sockets.
    fn pauses(pace: &mut Pace, turns: u32, ready: usize, after: usize) -> u32 {
        let mut waited = 0;
        for _ in 0..turns {
            if pace.waits(ready) {
                pace.gathered(after);
                waited += 1;
            }
        }
        waited
    }

    #[test]
    fn one_client_after_the_other_is_hardly_held_up() {
        assert_eq!(pauses(&mut Pace::default(), (TRY_EVERY_TURNS + 1) * 100, 1, 1), 100);
    }

    #[test]
    fn many_clients_are_waited_for_once_a_pause_has_paid() {
        let mut pace = Pace::default();
        assert_eq!(pauses(&mut pace, TRY_EVERY_TURNS + 1, 1, PAYS_FROM), 1);
        assert_eq!(pauses(&mut pace, 100, 1, PAYS_FROM), 100);
    }

    #[test]
    fn enough_is_served_at_once() {
        let mut pace = Pace::default();
        pauses(&mut pace, TRY_EVERY_TURNS + 1, 1, PAYS_FROM);
        assert_eq!(pauses(&mut pace, 100, ENOUGH, PAYS_FROM), 0);
        assert_eq!(pauses(&mut pace, 100, ENOUGH - 1, PAYS_FROM), 100);
    }

    #[test]
    fn a_lull_is_outlasted_but_not_for_ever() {
        let mut pace = Pace::default();
        pauses(&mut pace, TRY_EVERY_TURNS + 1, 1, PAYS_FROM);
        assert_eq!(pauses(&mut pace, PATIENCE_PAUSES - 1, 0, 0), PATIENCE_PAUSES - 1);
        assert_eq!(pauses(&mut pace, 1, 1, PAYS_FROM), 1);
        assert_eq!(pauses(&mut pace, 100, 1, 1), PATIENCE_PAUSES);
    }
}
