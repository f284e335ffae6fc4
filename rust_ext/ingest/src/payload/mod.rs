//! Payloads: what each endpoint's body or query says, as one set of borrowed fields.
//!
//! | decoder | reads |
//! |---|---|
//! | [`event`] | `POST /api/event` and each entry of `POST /api/events`: Plausible's keys and our tracker's own |
//! | [`umami`] | `POST /api/send` and each entry of `POST /api/batch` |
//! | [`gif`] | the query of `GET /hit.gif`: GoatCounter's names and Panelbear's |
//!
//! All fill a [`HitFields`]; nothing after them knows which endpoint a hit came through. Strings borrow from the request, or from the
//! hit's [`Scratch`] when they had to be unescaped. A decoder that meets a wrong field reads on: the first wrong field is
//! reported, and the site is known all the same, so that the reject is counted where it belongs. Keys nobody knows are ignored.
//!
//! [`Scratch`]: crate::scratch::Scratch
pub mod event;
pub mod gif;
pub mod json;
pub mod metrics;
#[cfg(test)]
mod naive;
pub mod props;
pub mod scalar;
pub mod timestamp;
pub mod umami;

use std::net::IpAddr;

use crate::drop_reason::Outcome;
use metrics::Metrics;
use props::Props;

/// The sizes that a payload's parts may have. Defaults are the peers' limits, so that no client meets a stricter one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    /// A page's URL; Plausible's limit. Umami's URL parts are cut instead, see [`umami`].
    pub url_bytes: usize,
    /// A referrer is cut here; Plausible's limit.
    pub referrer_bytes: usize,
    /// An event's name; Plausible's limit (Umami cuts at 50).
    pub name_bytes: usize,
    /// Props of one event; further ones are discarded. Plausible's limit. At most [`props::MAX_PROPS`].
    pub props: usize,
    /// A prop's key; Plausible's limit.
    pub prop_key_bytes: usize,
    /// A prop's value; Plausible's limit.
    pub prop_value_bytes: usize,
    /// Sites that one event may name, comma-separated: each is a record, so a short body must not make many.
    pub domains: usize,
    /// One UTM value is cut here: longer than any that is set by hand, short enough for a dictionary.
    pub utm_bytes: usize,
    /// Events of one server batch.
    pub batch_events: usize,
    /// One event of a server batch: the front's own limit for a single hit.
    pub batch_event_bytes: usize,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        PayloadLimits {
            url_bytes: 2_000,
            referrer_bytes: 2_000,
            name_bytes: 120,
            props: props::MAX_PROPS,
            prop_key_bytes: 300,
            prop_value_bytes: 2_000,
            domains: 10,
            utm_bytes: 255,
            batch_events: 10_000,
            batch_event_bytes: 128 * 1_024,
        }
    }
}

/// Why a payload is not a hit: which outcome it is counted as, and what its sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// One of the rejecting outcomes.
    pub outcome: Outcome,
    /// The field's long name, or `request` for the body as a whole.
    pub field: &'static str,
    /// What is wrong with it, to follow the field's name.
    pub message: &'static str,
}

impl Reject {
    /// The body is not JSON, or not the shape that the endpoint takes.
    #[must_use]
    pub const fn json(message: &'static str) -> Self {
        Reject { outcome: Outcome::Json, field: "request", message }
    }
    /// The field has another type than it should.
    #[must_use]
    pub const fn field_type(field: &'static str, message: &'static str) -> Self {
        Reject { outcome: Outcome::FieldType, field, message }
    }
    /// The field is missing or blank.
    #[must_use]
    pub const fn missing(field: &'static str) -> Self {
        Reject { outcome: Outcome::FieldMissing, field, message: "is required" }
    }
    /// The field is over its limit.
    #[must_use]
    pub const fn too_long(field: &'static str) -> Self {
        Reject { outcome: Outcome::FieldTooLong, field, message: "is too long" }
    }
    /// The number is out of its range.
    #[must_use]
    pub const fn range(field: &'static str, message: &'static str) -> Self {
        Reject { outcome: Outcome::FieldRange, field, message }
    }
}

/// Keeps the first reject of a payload while its decoder reads on.
#[derive(Debug, Default)]
pub(crate) struct FirstReject(Option<Reject>);

impl FirstReject {
    /// The value, or its default when it was refused.
    pub(crate) fn take<T: Default>(&mut self, result: Result<T, Reject>) -> T {
        result.unwrap_or_else(|reject| {
            self.note(reject);
            T::default()
        })
    }
    pub(crate) fn note(&mut self, reject: Reject) {
        self.0.get_or_insert(reject);
    }
    pub(crate) fn into_result(self) -> Result<(), Reject> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Which sites a hit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKey<'a> {
    /// Domains or public ids, comma-separated, as sent.
    Domains(&'a str),
    /// A public id and nothing else.
    PublicId(&'a str),
    /// The payload names none: the page's own hostname.
    PageHostname,
}

/// What sort of event the payload says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName<'a> {
    /// A page was seen.
    Pageview,
    /// Engaged time and scroll depth of a page view.
    Engagement,
    /// Web vitals.
    Vitals,
    /// Navigation timings.
    Timings,
    /// An event of the site's own.
    Custom(&'a str),
    /// A kind that is not stored (Umami `identify`).
    Unsupported,
}

/// Where the page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page<'a> {
    /// By its whole URL.
    Url(&'a str),
    /// By a hostname and a path with query, or a whole URL, whichever `url` turns out to be.
    Parts {
        /// Hostname, may be empty.
        hostname: &'a str,
        /// `/path?query#fragment` or a URL.
        url: &'a str,
        /// A longer path is cut.
        path_max_bytes: usize,
    },
}

/// A purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revenue<'a> {
    /// Millionths of the currency's unit.
    pub amount_micros: i64,
    /// Three capital letters.
    pub currency: &'a str,
}

/// One hit as its payload tells it.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct HitFields<'a> {
    pub name: EventName<'a>,
    pub site: SiteKey<'a>,
    pub page: Page<'a>,
    /// As sent, cut at its limit; empty = none.
    pub referrer: &'a str,
    /// The fragment is part of the path.
    pub hash_mode: bool,
    /// `None` = what the kind of event implies.
    pub interactive: Option<bool>,
    pub revenue: Option<Revenue<'a>>,
    pub scroll_depth_percent: Option<u8>,
    pub engaged_ms: Option<u32>,
    pub load_id: u64,
    pub sequence: u16,
    pub screen_width_px: u16,
    pub screen_height_px: u16,
    /// As sent; empty = none.
    pub timezone: &'a str,
    pub language: &'a str,
    /// `navigator.webdriver`.
    pub webdriver: bool,
    /// The event's own time, milliseconds since the epoch; `None` = when it arrived.
    pub time_ms: Option<i64>,
    /// In place of the request's own, where the sender may say so.
    pub user_agent: Option<&'a str>,
    pub address: Option<IpAddr>,
    /// UTM values given beside the URL (source, medium, campaign); empty = look into the URL.
    pub utm_beside_url: [&'a str; 3],
    pub props: Props<'a>,
    pub metrics: Metrics,
}

impl Default for HitFields<'_> {
    fn default() -> Self {
        HitFields {
            name: EventName::Pageview,
            site: SiteKey::PageHostname,
            page: Page::Url(""),
            referrer: "",
            hash_mode: false,
            interactive: None,
            revenue: None,
            scroll_depth_percent: None,
            engaged_ms: None,
            load_id: 0,
            sequence: 0,
            screen_width_px: 0,
            screen_height_px: 0,
            timezone: "",
            language: "",
            webdriver: false,
            time_ms: None,
            user_agent: None,
            address: None,
            utm_beside_url: [""; 3],
            props: Props::default(),
            metrics: Metrics::default(),
        }
    }
}

#[cfg(test)]
mod tests;
