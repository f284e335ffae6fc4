//! The snapshot: everything that the database knows and a hit needs, as one immutable versioned value.
//!
//! The server makes it as JSON (sites with their states and limits, the local dates of every timezone in use, salts,
//! API-key hashes) and hands it over whole; the pipeline swaps an `Arc`. Nothing here is looked up elsewhere while a hit
//! is in hand. Without a snapshot there is no answer but 503, because "no such site" would be a guess.
//!
//! Dates: a timezone lists when each of its local dates begins, in UTC, so that no time-zone database is needed here and
//! a day of 23 or 25 hours is just a longer or shorter entry.

use std::collections::HashMap;

use serde::Deserialize;

use crate::blocks::{BlockError, Blocks};
use crate::rate::Rate;
use crate::visitor::{Salt, VisitorKey};

/// Milliseconds of a nominal day, for dates outside the listed ones.
const DAY_MS: i64 = 86_400_000;

/// What may be done with a site's hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteState {
    /// Hits become rows.
    Active,
    /// The account's capacity and grace are used up: dropped as `capacity`.
    Depleted,
    /// Blocked by staff: dropped as `blocked`.
    Blocked,
    /// To be destroyed soon: dropped as `blocked`.
    Deleting,
    /// Being or already destroyed: dropped as `blocked`.
    Destroyed,
}

/// One site.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its number in every table.
    pub site_id: u32,
    /// The account that owns it, and whose API keys may send for it.
    pub account_id: u32,
    /// What may be done with its hits.
    pub state: SiteState,
    /// Stamped on every row: which partition, hence which retention, it belongs to.
    pub retention_class: u8,
    /// The main hostname, as registered, lower-case, without `www.`.
    pub domain: Box<str>,
    /// Bot reasons that keep a hit out; others are let through and stored with the row.
    pub drop_bot_mask: u16,
    /// Hits per second, all visitors together; `None` = unlimited.
    pub rate: Option<Rate>,
    /// One visitor in so many is kept; 1 = all.
    pub sample_every: u16,
    /// Whether hits with a referrer on the spam list are dropped.
    pub spam_filter: bool,
    /// What the site's people keep out; `None` = nothing.
    pub blocks: Option<Box<Blocks>>,
    timezone: usize,
    exact_hostnames: Box<[Box<str>]>,
    /// Without the star: `.example.com`.
    hostname_suffixes: Box<[Box<str>]>,
}

impl Site {
    /// Whether a page of this hostname (lower-case, without `www.`) may send hits. No entries = any may.
    #[must_use]
    pub fn allows_hostname(&self, hostname: &str) -> bool {
        (self.exact_hostnames.is_empty() && self.hostname_suffixes.is_empty())
            || self.exact_hostnames.iter().any(|exact| &**exact == hostname)
            || self.hostname_suffixes.iter().any(|suffix| hostname.ends_with(&**suffix))
    }
}

/// A local date and when it begins.
#[derive(Debug, Clone, Copy)]
struct Day {
    start_ms: i64,
    /// Days since the epoch of the calendar date.
    date: i32,
    salt: Option<Salt>,
}

#[derive(Debug)]
struct Timezone {
    name: Box<str>,
    days: Box<[Day]>,
}

/// One version of the site table and its companions.
#[derive(Debug)]
pub struct Snapshot {
    /// Rises with every change.
    pub version: u64,
    /// When the server made it.
    pub generated_at_ms: i64,
    /// Number of ClickHouse shards, at least 1.
    pub shards: u32,
    /// Hits per second from one address; `None` = unlimited.
    pub rate_per_address: Option<Rate>,
    sites: Box<[Site]>,
    by_domain: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    by_public_id: HashMap<u128, u32, foldhash::fast::RandomState>,
    timezones: Box<[Timezone]>,
    newest_salt: Option<Salt>,
    api_keys: HashMap<[u8; 32], u32>,
}

/// Why a snapshot was refused. The one in use stays; nothing of the new one is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// Not JSON of the agreed shape.
    Json(String),
    /// A site names a timezone that is not listed.
    Timezone {
        /// The site.
        site_id: u32,
    },
    /// A timezone without days, or with days out of order.
    Days {
        /// Its name.
        timezone: String,
    },
    /// Not a date of the form `2026-11-22`.
    Date(String),
    /// A salt that is not 32 hex digits.
    Salt {
        /// The date it belongs to; never the salt.
        date: String,
    },
    /// A public id that is not a UUID.
    PublicId {
        /// The site.
        site_id: u32,
    },
    /// An API-key hash that is not 64 hex digits.
    ApiKey,
    /// A blocked network, country or path that cannot be read.
    Blocks {
        /// The site.
        site_id: u32,
        /// What it is; never the entry, which may be an address.
        error: BlockError,
    },
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SnapshotError::Json(reason) => write!(formatter, "snapshot: {reason}"),
            SnapshotError::Timezone { site_id } => {
                write!(formatter, "snapshot: site {site_id} names a timezone that is not listed")
            }
            SnapshotError::Days { timezone } => {
                write!(formatter, "snapshot: timezone {timezone} has no days, or days out of order")
            }
            SnapshotError::Date(date) => write!(formatter, "snapshot: {date:?} is not a date"),
            SnapshotError::Salt { date } => write!(formatter, "snapshot: the salt of {date} is not 32 hex digits"),
            SnapshotError::PublicId { site_id } => {
                write!(formatter, "snapshot: the public id of site {site_id} is not a UUID")
            }
            SnapshotError::ApiKey => formatter.write_str("snapshot: an API-key hash is not 64 hex digits"),
            SnapshotError::Blocks { site_id, error } => {
                let what = match error {
                    BlockError::Network => "network",
                    BlockError::Country => "country",
                    BlockError::Path => "path",
                };
                write!(formatter, "snapshot: a blocked {what} of site {site_id} cannot be read")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}

#[derive(Deserialize)]
struct SnapshotJson {
    version: u64,
    #[serde(default)]
    generated_at_ms: i64,
    #[serde(default = "one_u32")]
    shards: u32,
    timezones: Vec<TimezoneJson>,
    salts: HashMap<String, String>,
    sites: Vec<SiteJson>,
    #[serde(default)]
    limits: LimitsJson,
    #[serde(default)]
    api_keys: Vec<ApiKeyJson>,
}

#[derive(Deserialize)]
struct TimezoneJson {
    name: String,
    days: Vec<(i64, String)>,
}

#[derive(Deserialize)]
struct SiteJson {
    site_id: u32,
    public_id: String,
    domain: String,
    #[serde(default)]
    account_id: u32,
    timezone: usize,
    state: SiteState,
    #[serde(default = "one_u8")]
    retention_class: u8,
    #[serde(default)]
    allowed_hostnames: Vec<String>,
    #[serde(default = "every_bot")]
    drop_bot_mask: u16,
    #[serde(default)]
    rate_per_second: Option<u32>,
    #[serde(default = "one_u16")]
    sample_every: u16,
    #[serde(default = "yes")]
    spam_filter: bool,
    #[serde(default)]
    blocked_networks: Vec<String>,
    #[serde(default)]
    blocked_countries: Vec<String>,
    #[serde(default)]
    blocked_paths: Vec<String>,
}

#[derive(Deserialize, Default)]
struct LimitsJson {
    #[serde(default)]
    rate_per_address_per_second: Option<u32>,
}

#[derive(Deserialize)]
struct ApiKeyJson {
    hash: String,
    account_id: u32,
}

const fn one_u8() -> u8 {
    1
}
const fn one_u16() -> u16 {
    1
}
const fn one_u32() -> u32 {
    1
}
const fn every_bot() -> u16 {
    u16::MAX
}
const fn yes() -> bool {
    true
}

impl Snapshot {
    /// Reads the server's JSON.
    ///
    /// # Errors
    /// The first thing that is wrong with it; see [`SnapshotError`].
    pub fn from_json(json: &[u8]) -> Result<Snapshot, SnapshotError> {
        let parsed: SnapshotJson =
            serde_json::from_slice(json).map_err(|error| SnapshotError::Json(error.to_string()))?;
        let mut salts = HashMap::new();
        for (date, hex) in &parsed.salts {
            let day = days_of_date(date).ok_or_else(|| SnapshotError::Date(date.clone()))?;
            let key = bytes_of_hex(hex).ok_or_else(|| SnapshotError::Salt { date: date.clone() })?;
            salts.insert(day, Salt::new(key));
        }
        let newest_salt = salts.iter().max_by_key(|(day, _)| **day).map(|(_, salt)| *salt);
        let timezones: Box<[Timezone]> =
            parsed.timezones.into_iter().map(|timezone| read_timezone(timezone, &salts)).collect::<Result<_, _>>()?;

        let mut sites = Vec::with_capacity(parsed.sites.len());
        let mut by_domain: HashMap<Box<str>, u32, _> = HashMap::default();
        let mut by_public_id = HashMap::default();
        for (index, json) in (0_u32..).zip(parsed.sites) {
            let site_id = json.site_id;
            if json.timezone >= timezones.len() {
                return Err(SnapshotError::Timezone { site_id });
            }
            let public_id = uuid_bits(json.public_id.as_bytes()).ok_or(SnapshotError::PublicId { site_id })?;
            let site = read_site(json).map_err(|error| SnapshotError::Blocks { site_id, error })?;
            by_public_id.insert(public_id, index);
            // A domain may have been registered again after its former site was destroyed: the living one answers.
            if site.state != SiteState::Destroyed || !by_domain.contains_key(&site.domain) {
                by_domain.insert(site.domain.clone(), index);
            }
            sites.push(site);
        }
        let mut api_keys = HashMap::new();
        for key in parsed.api_keys {
            api_keys.insert(bytes_of_hex(&key.hash).ok_or(SnapshotError::ApiKey)?, key.account_id);
        }
        Ok(Snapshot {
            version: parsed.version,
            generated_at_ms: parsed.generated_at_ms,
            shards: parsed.shards.max(1),
            rate_per_address: parsed.limits.rate_per_address_per_second.map(Rate::per_second),
            sites: sites.into_boxed_slice(),
            by_domain,
            by_public_id,
            timezones,
            newest_salt,
            api_keys,
        })
    }

    /// The site of a domain (lower-case, without `www.`).
    #[must_use]
    pub fn site_by_domain(&self, domain: &str) -> Option<&Site> {
        self.by_domain.get(domain).and_then(|index| self.site_at(*index))
    }

    /// The site of a public id, in either form of a UUID's text.
    #[must_use]
    pub fn site_by_public_id(&self, public_id: &[u8]) -> Option<&Site> {
        let bits = uuid_bits(public_id)?;
        self.by_public_id.get(&bits).and_then(|index| self.site_at(*index))
    }

    /// The account of an API key, by the SHA-256 of the key.
    #[must_use]
    pub fn account_of_key(&self, sha256: &[u8; 32]) -> Option<u32> {
        self.api_keys.get(sha256).copied()
    }

    /// All sites, in the server's order.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The name of the site's own timezone.
    #[must_use]
    pub fn timezone_of(&self, site: &Site) -> &str {
        self.timezones.get(site.timezone).map_or("", |timezone| &timezone.name)
    }

    /// Whether any visitor can be hashed at all; without it the answer is 503.
    #[must_use]
    pub fn has_salt(&self) -> bool {
        self.newest_salt.is_some()
    }

    /// What keys the visitor ids of an event of this time at this site; `None` only when there is no salt at all.
    ///
    /// The salt of the event's own local date where it is kept. Otherwise today's, or failing that the newest, with the event's date
    /// mixed in: visitors of that date are still told apart within it and not linked to today's.
    #[must_use]
    pub fn visitor_key(&self, site: &Site, event_ms: i64, now_ms: i64) -> Option<VisitorKey> {
        let timezone = self.timezones.get(site.timezone)?;
        let (date, own_salt) = timezone.date_of(event_ms);
        if let Some(salt) = own_salt {
            return Some(VisitorKey { salt, foreign_date: None });
        }
        let salt = timezone.date_of(now_ms).1.or(self.newest_salt)?;
        Some(VisitorKey { salt, foreign_date: Some(date) })
    }

    fn site_at(&self, index: u32) -> Option<&Site> {
        self.sites.get(usize::try_from(index).ok()?)
    }
}

impl Timezone {
    /// The local date of a time, and its salt when kept. Scans from the newest day: live hits stop within a few.
    fn date_of(&self, time_ms: i64) -> (i32, Option<Salt>) {
        if let Some(day) = self.days.iter().rev().find(|day| day.start_ms <= time_ms) {
            let nominal_days_on = (time_ms - day.start_ms) / DAY_MS;
            let is_last = self.days.last().is_some_and(|last| last.start_ms == day.start_ms);
            if !is_last || nominal_days_on == 0 {
                return (day.date, day.salt);
            }
            return (day.date.saturating_add(i32::try_from(nominal_days_on).unwrap_or(i32::MAX)), None);
        }
        self.days.first().map_or((0, None), |first| {
            let nominal_days_before = first.start_ms.saturating_sub(time_ms).saturating_sub(1) / DAY_MS + 1;
            (first.date.saturating_sub(i32::try_from(nominal_days_before).unwrap_or(i32::MAX)), None)
        })
    }
}

fn read_timezone(json: TimezoneJson, salts: &HashMap<i32, Salt>) -> Result<Timezone, SnapshotError> {
    let mut days = Vec::with_capacity(json.days.len());
    for (start_s, text) in json.days {
        let date = days_of_date(&text).ok_or(SnapshotError::Date(text))?;
        days.push(Day { start_ms: start_s.saturating_mul(1_000), date, salt: salts.get(&date).copied() });
    }
    let ascending = days.is_sorted_by(|earlier, later| earlier.start_ms < later.start_ms && earlier.date < later.date);
    if days.is_empty() || !ascending {
        return Err(SnapshotError::Days { timezone: json.name });
    }
    Ok(Timezone { name: json.name.into_boxed_str(), days: days.into_boxed_slice() })
}

fn read_site(json: SiteJson) -> Result<Site, BlockError> {
    let mut exact = Vec::new();
    let mut suffixes = Vec::new();
    for entry in json.allowed_hostnames {
        let entry = entry.trim().to_ascii_lowercase();
        match entry.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') => suffixes.push(suffix.into()),
            _ => exact.push(entry.strip_prefix("www.").unwrap_or(&entry).into()),
        }
    }
    let domain = json.domain.trim().to_ascii_lowercase();
    Ok(Site {
        site_id: json.site_id,
        account_id: json.account_id,
        state: json.state,
        retention_class: json.retention_class,
        domain: domain.strip_prefix("www.").unwrap_or(&domain).into(),
        drop_bot_mask: json.drop_bot_mask,
        rate: json.rate_per_second.map(Rate::per_second),
        sample_every: json.sample_every.max(1),
        spam_filter: json.spam_filter,
        blocks: Blocks::read(&json.blocked_networks, &json.blocked_countries, &json.blocked_paths)?,
        timezone: json.timezone,
        exact_hostnames: exact.into_boxed_slice(),
        hostname_suffixes: suffixes.into_boxed_slice(),
    })
}

/// Days since the epoch of `2026-11-22`, by the proleptic Gregorian calendar.
#[must_use]
pub fn days_of_date(date: &str) -> Option<i32> {
    let bytes = date.as_bytes();
    if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = date.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i32>().ok())?
    };
    days_of_civil(number(0..4)?, number(5..7)?, number(8..10)?)
}

/// Days since the epoch of a calendar date; `None` for a month or day that does not exist.
#[must_use]
pub fn days_of_civil(year: i32, month: i32, day: i32) -> Option<i32> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last_day = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(0..=9_999).contains(&year) || !(1..=last_day).contains(&day) {
        return None;
    }
    // Count from 1 March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
    // 719,468 days lie between 1 March of year 0 and 1 January 1970.
    Some(days - 719_468)
}

/// The 128 bits of a UUID's text, with or without hyphens, in either case.
#[must_use]
pub fn uuid_bits(text: &[u8]) -> Option<u128> {
    if text.len() != 36 && text.len() != 32 {
        return None;
    }
    let hyphens = text.len() == 36;
    let mut bits = 0_u128;
    for (index, byte) in text.iter().enumerate() {
        if hyphens && matches!(index, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        bits = (bits << 4) | u128::from(hex_digit(*byte)?);
    }
    Some(bits)
}

/// The value of one hex digit in either case. By table: the digits of random ids are unforeseeable branches.
#[must_use]
pub fn hex_digit(byte: u8) -> Option<u8> {
    const VALUES: [u8; 256] = hex_values();
    VALUES.get(usize::from(byte)).copied().filter(|value| *value != NOT_HEX)
}

const NOT_HEX: u8 = 0xff;

#[allow(clippy::indexing_slicing, reason = "constant indices, checked by the compiler")]
const fn hex_values() -> [u8; 256] {
    let mut values = [NOT_HEX; 256];
    let mut digit = 0_u8;
    while digit < 16 {
        let letter = digit.wrapping_sub(10);
        if digit < 10 {
            values[(b'0' + digit) as usize] = digit;
        } else {
            values[(b'a' + letter) as usize] = digit;
            values[(b'A' + letter) as usize] = digit;
        }
        digit += 1;
    }
    values
}

fn bytes_of_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    if hex.len() != N * 2 {
        return None;
    }
    for (slot, pair) in bytes.iter_mut().zip(hex.as_bytes().as_chunks::<2>().0) {
        *slot = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
