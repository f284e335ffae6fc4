//! The record: the row-log form of one hit. Little-endian, explicit offsets, self-contained.
//!
//! A record refers to nothing outside itself (no dictionary elsewhere in the segment), so damage costs only the
//! records it touches. `core_ext/record_layout.pxd` is generated from the constants below; a test fails when they differ.
//!
//! **Hit record** (`RECORD_HIT`), one row of `events`:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 1 | record kind = 1 |
//! | 1 | 1 | event kind (`EventKind`) |
//! | 2 | 2 | bot reasons, bit mask (let through by the site; 0 for people) |
//! | 4 | 4 | site id |
//! | 8 | 8 | time, i64 ms since the epoch, UTC |
//! | 16 | 8 | visitor id |
//! | 24 | 8 | page-load id, 0 = none |
//! | 32 | 4 | engaged ms |
//! | 36 | 2 | screen width px, 0 = unknown |
//! | 38 | 2 | screen height px, 0 = unknown |
//! | 40 | 2 | sample weight, 1 = unsampled |
//! | 42 | 1 | device (`Device`) |
//! | 43 | 1 | channel (`Channel`) |
//! | 44 | 1 | scroll depth percent, 255 = absent |
//! | 45 | 1 | interactive, 0 or 1 |
//! | 46 | 1 | retention class |
//! | 47 | 1 | props count |
//! | 48 | 1 | metrics count |
//! | 49 | 1 | zero |
//! | 50 | 2 | sequence of this report within its page load |
//! | 52 | 4 | zero |
//! | 56 | 8 | revenue, i64 millionths of the currency's unit |
//! | 64 | 38 | byte lengths of the 19 strings, u16 each, in `StringField` order |
//! | 102 | 2 | zero |
//! | 104 | … | the strings' bytes, one after the other, UTF-8 |
//! | … | … | props: each u16 key bytes, u16 value bytes, key, value |
//! | … | 5 × n | metrics: each u8 metric (`Metric`), f32 value |
//!
//! **Short record** (`RECORD_SHORT`), a dropped or rejected hit, 16 bytes:
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 1 | record kind = 2 |
//! | 1 | 1 | outcome code (`drop_reason::Outcome`), never 0 |
//! | 2 | 2 | bot reasons, bit mask |
//! | 4 | 4 | site id, 0 = no known site |
//! | 8 | 8 | time, i64 ms since the epoch, UTC |

/// First byte of a hit record.
pub const RECORD_HIT: u8 = 1;
/// First byte of a short record.
pub const RECORD_SHORT: u8 = 2;
/// Bytes before the first string of a hit record.
pub const HIT_FIXED_BYTES: usize = 104;
/// Offset of the string lengths.
pub const STRING_LENGTHS_OFFSET: usize = 64;
/// Bytes of a short record.
pub const SHORT_RECORD_BYTES: usize = 16;

/// What a row of `events` is. Stored; never renumber. The same numbers stand in the table's Enum8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A page was seen.
    Pageview = 1,
    /// A named event of the site's own.
    Custom = 2,
    /// Engaged time and scroll depth of a page view.
    Engagement = 3,
    /// LCP, INP, CLS, FCP, TTFB.
    Vitals = 4,
    /// Navigation timings.
    Timings = 5,
}

/// The class of device. Stored; never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Device {
    Unknown = 0,
    Desktop = 1,
    Mobile = 2,
    Tablet = 3,
    Tv = 4,
    Console = 5,
    Wearable = 6,
    Bot = 7,
}

/// The acquisition channel. Stored; never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Channel {
    Direct = 0,
    OrganicSearch = 1,
    PaidSearch = 2,
    OrganicSocial = 3,
    PaidSocial = 4,
    Email = 5,
    Referral = 6,
    Affiliates = 7,
    Display = 8,
    OrganicVideo = 9,
    PaidVideo = 10,
    OrganicShopping = 11,
    PaidShopping = 12,
    Sms = 13,
    Push = 14,
    AiAssistant = 15,
    PaidOther = 16,
    CrossNetwork = 17,
    Audio = 18,
}

/// A measured value of a page load. Stored; never renumber. The same numbers stand in the table's Enum8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Metric {
    LcpMs = 1,
    InpMs = 2,
    Cls = 3,
    FcpMs = 4,
    TtfbMs = 5,
    DnsMs = 10,
    ConnectMs = 11,
    TlsMs = 12,
    DownloadMs = 13,
    DomInteractiveMs = 14,
    DomContentLoadedMs = 15,
    LoadMs = 16,
    TransferBytes = 17,
}

/// The strings of a hit record, in stored order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
#[allow(missing_docs)]
pub enum StringField {
    Hostname = 0,
    Path = 1,
    ReferrerSource = 2,
    /// Host and path of the referrer, no query string.
    Referrer = 3,
    UtmSource = 4,
    UtmMedium = 5,
    UtmCampaign = 6,
    UtmTerm = 7,
    UtmContent = 8,
    /// The name of the click-id parameter that was present (`gclid`), never its value.
    ClickId = 9,
    /// ISO 3166-1 alpha-2, empty = unknown.
    Country = 10,
    Language = 11,
    Timezone = 12,
    Browser = 13,
    BrowserVersion = 14,
    Os = 15,
    OsVersion = 16,
    /// Name of a custom event, empty for the other kinds.
    EventName = 17,
    /// ISO 4217, empty = no revenue.
    RevenueCurrency = 18,
}

/// Number of strings in a hit record.
pub const STRING_FIELDS: usize = 19;

/// One hit on its way into a record; everything borrowed, nothing allocated.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct HitRecord<'a> {
    pub kind: EventKind,
    pub bot_reasons: u16,
    pub site_id: u32,
    pub time_ms: i64,
    pub visitor_id: u64,
    pub load_id: u64,
    pub engaged_ms: u32,
    pub screen_width_px: u16,
    pub screen_height_px: u16,
    pub sample_weight: u16,
    pub device: Device,
    pub channel: Channel,
    pub scroll_depth_percent: Option<u8>,
    pub interactive: bool,
    pub retention_class: u8,
    pub sequence: u16,
    pub revenue_micros: i64,
    /// Indexed by `StringField`; each at most 65,535 bytes (a longer one is cut at a character border).
    pub strings: [&'a str; STRING_FIELDS],
    pub props: &'a [(&'a str, &'a str)],
    pub metrics: &'a [(Metric, f32)],
}

/// A dropped or rejected hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ShortRecord {
    pub outcome: crate::drop_reason::Outcome,
    pub bot_reasons: u16,
    pub site_id: u32,
    pub time_ms: i64,
}
