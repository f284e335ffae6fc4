//! Why a hit did not become a row. One byte in a short record, one label in `ledger`, metrics and answers.
//!
//! | code | range |
//! |---|---|
//! | 0 | accepted: the hit is a row |
//! | 1–99 | dropped: a valid hit that the site's rules keep out; answered 202 with `X-Footfall-Dropped` |
//! | 100–199 | rejected: not a valid hit; answered 4xx |
//!
//! Codes are stored on disk and in ClickHouse: never renumber, only add.

/// The outcome of one answered hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Stored as a row of `events`.
    Accepted = 0,
    /// The agent is a bot by a reason that the site does not let through; the mask says which.
    Bot = 1,
    /// `Sec-Purpose: prefetch` and its kin: the page was fetched, not seen.
    Prefetch = 2,
    /// The referrer's host is on the spam list.
    ReferrerSpam = 3,
    /// The page's hostname is not among the site's allowed hostnames.
    Hostname = 4,
    /// Over the rate per address or per site.
    Rate = 5,
    /// The account's monthly capacity and its grace period are used up.
    Capacity = 6,
    /// The site is blocked by staff, being deleted, or destroyed.
    Blocked = 7,
    /// No site of that domain or id in the snapshot.
    UnknownSite = 8,
    /// A supplied time outside −7 days … +5 minutes.
    Timestamp = 9,
    /// Left out by the site's sampling; the kept rows carry the weight.
    Sampled = 10,
    /// A valid request of a kind that Footfall does not store (Umami `identify`).
    Unsupported = 11,
    /// The client's address is in a network that the site keeps out.
    BlockedNetwork = 12,
    /// The client's country is one that the site keeps out.
    BlockedCountry = 13,
    /// The page's path is one that the site keeps out.
    BlockedPath = 14,
    /// Malformed JSON, or not the shape the endpoint takes.
    Json = 100,
    /// A field of the wrong type.
    FieldType = 101,
    /// A required field is missing or blank.
    FieldMissing = 102,
    /// A field over its limit.
    FieldTooLong = 103,
    /// The URL cannot be parsed, or has a scheme that is not a page's.
    Url = 104,
    /// The body is over the limit (413).
    BodyTooLarge = 105,
    /// A number out of its range.
    FieldRange = 106,
}

impl Outcome {
    /// Every outcome, in code order. The Python and SQL sides are checked against it.
    pub const ALL: [Outcome; 22] = [
        Outcome::Accepted,
        Outcome::Bot,
        Outcome::Prefetch,
        Outcome::ReferrerSpam,
        Outcome::Hostname,
        Outcome::Rate,
        Outcome::Capacity,
        Outcome::Blocked,
        Outcome::UnknownSite,
        Outcome::Timestamp,
        Outcome::Sampled,
        Outcome::Unsupported,
        Outcome::BlockedNetwork,
        Outcome::BlockedCountry,
        Outcome::BlockedPath,
        Outcome::Json,
        Outcome::FieldType,
        Outcome::FieldMissing,
        Outcome::FieldTooLong,
        Outcome::Url,
        Outcome::BodyTooLarge,
        Outcome::FieldRange,
    ];

    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The outcome with this stored byte, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// The label in `ledger`, metrics and `X-Footfall-Dropped`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Bot => "bot",
            Outcome::Prefetch => "prefetch",
            Outcome::ReferrerSpam => "referrer_spam",
            Outcome::Hostname => "hostname",
            Outcome::Rate => "rate",
            Outcome::Capacity => "capacity",
            Outcome::Blocked => "blocked",
            Outcome::UnknownSite => "unknown_site",
            Outcome::Timestamp => "timestamp",
            Outcome::Sampled => "sampled",
            Outcome::Unsupported => "unsupported",
            Outcome::BlockedNetwork => "blocked_network",
            Outcome::BlockedCountry => "blocked_country",
            Outcome::BlockedPath => "blocked_path",
            Outcome::Json => "json",
            Outcome::FieldType => "field_type",
            Outcome::FieldMissing => "field_missing",
            Outcome::FieldTooLong => "field_too_long",
            Outcome::Url => "url",
            Outcome::BodyTooLarge => "body_too_large",
            Outcome::FieldRange => "field_range",
        }
    }

    /// A valid hit that the site's rules kept out.
    #[must_use]
    pub const fn is_dropped(self) -> bool {
        matches!(self.code(), 1..=99)
    }

    /// Not a valid hit.
    #[must_use]
    pub const fn is_rejected(self) -> bool {
        self.code() >= 100
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn codes_round_trip_and_labels_are_unique() {
        let mut labels = std::collections::BTreeSet::new();
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
            assert!(labels.insert(outcome.label()), "{} twice", outcome.label());
            assert_eq!(
                u8::from(outcome == Outcome::Accepted)
                    + u8::from(outcome.is_dropped())
                    + u8::from(outcome.is_rejected()),
                1
            );
        }
        assert_eq!(Outcome::from_code(99), None);
    }
}
