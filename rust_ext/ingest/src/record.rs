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

mod codec;

#[cfg(test)]
pub(crate) use codec::tests;

pub use codec::{DecodeError, HitView, Record, check, decode, encode_hit, encode_short};

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
/// The longest payload the encoder makes and recovery believes. All 19 strings at their longest (1.2 MiB) fit; props
/// that no longer fit are left out. It also bounds how far a damaged length can lead a scan astray.
pub const RECORD_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Offsets of the fixed fields, as in the tables above.
#[allow(missing_docs)]
pub mod offset {
    pub const RECORD_KIND: usize = 0;
    pub const EVENT_KIND: usize = 1;
    pub const BOT_REASONS: usize = 2;
    pub const SITE_ID: usize = 4;
    pub const TIME_MS: usize = 8;
    pub const VISITOR_ID: usize = 16;
    pub const LOAD_ID: usize = 24;
    pub const ENGAGED_MS: usize = 32;
    pub const SCREEN_WIDTH_PX: usize = 36;
    pub const SCREEN_HEIGHT_PX: usize = 38;
    pub const SAMPLE_WEIGHT: usize = 40;
    pub const DEVICE: usize = 42;
    pub const CHANNEL: usize = 43;
    pub const SCROLL_DEPTH_PERCENT: usize = 44;
    pub const INTERACTIVE: usize = 45;
    pub const RETENTION_CLASS: usize = 46;
    pub const PROPS_COUNT: usize = 47;
    pub const METRICS_COUNT: usize = 48;
    pub const SEQUENCE: usize = 50;
    pub const REVENUE_MICROS: usize = 56;
    pub const STRING_LENGTHS: usize = super::STRING_LENGTHS_OFFSET;
    pub const SHORT_OUTCOME: usize = 1;
    pub const SHORT_BOT_REASONS: usize = 2;
    pub const SHORT_SITE_ID: usize = 4;
    pub const SHORT_TIME_MS: usize = 8;
}

/// `scroll depth percent` of a hit that reports none.
pub const SCROLL_DEPTH_ABSENT: u8 = 255;

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

impl EventKind {
    /// Every event kind, in code order. The Python and SQL sides are checked against it.
    pub const ALL: [EventKind; 5] =
        [EventKind::Pageview, EventKind::Custom, EventKind::Engagement, EventKind::Vitals, EventKind::Timings];

    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The event kind with this stored byte, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<EventKind> {
        Some(match code {
            1 => EventKind::Pageview,
            2 => EventKind::Custom,
            3 => EventKind::Engagement,
            4 => EventKind::Vitals,
            5 => EventKind::Timings,
            _ => return None,
        })
    }

    /// The name in the table's Enum8.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Pageview => "pageview",
            EventKind::Custom => "custom",
            EventKind::Engagement => "engagement",
            EventKind::Vitals => "vitals",
            EventKind::Timings => "timings",
        }
    }
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

impl Device {
    /// Every device class, in code order. The Python and SQL sides are checked against it.
    pub const ALL: [Device; 8] = [
        Device::Unknown,
        Device::Desktop,
        Device::Mobile,
        Device::Tablet,
        Device::Tv,
        Device::Console,
        Device::Wearable,
        Device::Bot,
    ];

    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The device class with this stored byte, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Device> {
        Some(match code {
            0 => Device::Unknown,
            1 => Device::Desktop,
            2 => Device::Mobile,
            3 => Device::Tablet,
            4 => Device::Tv,
            5 => Device::Console,
            6 => Device::Wearable,
            7 => Device::Bot,
            _ => return None,
        })
    }

    /// The name in the table's Enum8.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Device::Unknown => "unknown",
            Device::Desktop => "desktop",
            Device::Mobile => "mobile",
            Device::Tablet => "tablet",
            Device::Tv => "tv",
            Device::Console => "console",
            Device::Wearable => "wearable",
            Device::Bot => "bot",
        }
    }
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

impl Channel {
    /// Every channel, in code order. The Python and SQL sides are checked against it.
    pub const ALL: [Channel; 19] = [
        Channel::Direct,
        Channel::OrganicSearch,
        Channel::PaidSearch,
        Channel::OrganicSocial,
        Channel::PaidSocial,
        Channel::Email,
        Channel::Referral,
        Channel::Affiliates,
        Channel::Display,
        Channel::OrganicVideo,
        Channel::PaidVideo,
        Channel::OrganicShopping,
        Channel::PaidShopping,
        Channel::Sms,
        Channel::Push,
        Channel::AiAssistant,
        Channel::PaidOther,
        Channel::CrossNetwork,
        Channel::Audio,
    ];

    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The channel with this stored byte, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Channel> {
        Some(match code {
            0 => Channel::Direct,
            1 => Channel::OrganicSearch,
            2 => Channel::PaidSearch,
            3 => Channel::OrganicSocial,
            4 => Channel::PaidSocial,
            5 => Channel::Email,
            6 => Channel::Referral,
            7 => Channel::Affiliates,
            8 => Channel::Display,
            9 => Channel::OrganicVideo,
            10 => Channel::PaidVideo,
            11 => Channel::OrganicShopping,
            12 => Channel::PaidShopping,
            13 => Channel::Sms,
            14 => Channel::Push,
            15 => Channel::AiAssistant,
            16 => Channel::PaidOther,
            17 => Channel::CrossNetwork,
            18 => Channel::Audio,
            _ => return None,
        })
    }

    /// The name in the table's Enum8.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Direct => "direct",
            Channel::OrganicSearch => "organic_search",
            Channel::PaidSearch => "paid_search",
            Channel::OrganicSocial => "organic_social",
            Channel::PaidSocial => "paid_social",
            Channel::Email => "email",
            Channel::Referral => "referral",
            Channel::Affiliates => "affiliates",
            Channel::Display => "display",
            Channel::OrganicVideo => "organic_video",
            Channel::PaidVideo => "paid_video",
            Channel::OrganicShopping => "organic_shopping",
            Channel::PaidShopping => "paid_shopping",
            Channel::Sms => "sms",
            Channel::Push => "push",
            Channel::AiAssistant => "ai_assistant",
            Channel::PaidOther => "paid_other",
            Channel::CrossNetwork => "cross_network",
            Channel::Audio => "audio",
        }
    }
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

impl Metric {
    /// Every metric, in code order. The Python and SQL sides are checked against it.
    pub const ALL: [Metric; 13] = [
        Metric::LcpMs,
        Metric::InpMs,
        Metric::Cls,
        Metric::FcpMs,
        Metric::TtfbMs,
        Metric::DnsMs,
        Metric::ConnectMs,
        Metric::TlsMs,
        Metric::DownloadMs,
        Metric::DomInteractiveMs,
        Metric::DomContentLoadedMs,
        Metric::LoadMs,
        Metric::TransferBytes,
    ];

    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The metric with this stored byte, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Metric> {
        Some(match code {
            1 => Metric::LcpMs,
            2 => Metric::InpMs,
            3 => Metric::Cls,
            4 => Metric::FcpMs,
            5 => Metric::TtfbMs,
            10 => Metric::DnsMs,
            11 => Metric::ConnectMs,
            12 => Metric::TlsMs,
            13 => Metric::DownloadMs,
            14 => Metric::DomInteractiveMs,
            15 => Metric::DomContentLoadedMs,
            16 => Metric::LoadMs,
            17 => Metric::TransferBytes,
            _ => return None,
        })
    }

    /// The name in the table's Enum8.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Metric::LcpMs => "lcp_ms",
            Metric::InpMs => "inp_ms",
            Metric::Cls => "cls",
            Metric::FcpMs => "fcp_ms",
            Metric::TtfbMs => "ttfb_ms",
            Metric::DnsMs => "dns_ms",
            Metric::ConnectMs => "connect_ms",
            Metric::TlsMs => "tls_ms",
            Metric::DownloadMs => "download_ms",
            Metric::DomInteractiveMs => "dom_interactive_ms",
            Metric::DomContentLoadedMs => "dom_content_loaded_ms",
            Metric::LoadMs => "load_ms",
            Metric::TransferBytes => "transfer_bytes",
        }
    }
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

impl StringField {
    /// Every string, in stored order.
    pub const ALL: [StringField; STRING_FIELDS] = [
        StringField::Hostname,
        StringField::Path,
        StringField::ReferrerSource,
        StringField::Referrer,
        StringField::UtmSource,
        StringField::UtmMedium,
        StringField::UtmCampaign,
        StringField::UtmTerm,
        StringField::UtmContent,
        StringField::ClickId,
        StringField::Country,
        StringField::Language,
        StringField::Timezone,
        StringField::Browser,
        StringField::BrowserVersion,
        StringField::Os,
        StringField::OsVersion,
        StringField::EventName,
        StringField::RevenueCurrency,
    ];

    /// The name of its column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            StringField::Hostname => "hostname",
            StringField::Path => "path",
            StringField::ReferrerSource => "referrer_source",
            StringField::Referrer => "referrer",
            StringField::UtmSource => "utm_source",
            StringField::UtmMedium => "utm_medium",
            StringField::UtmCampaign => "utm_campaign",
            StringField::UtmTerm => "utm_term",
            StringField::UtmContent => "utm_content",
            StringField::ClickId => "click_id",
            StringField::Country => "country",
            StringField::Language => "language",
            StringField::Timezone => "timezone",
            StringField::Browser => "browser",
            StringField::BrowserVersion => "browser_version",
            StringField::Os => "os",
            StringField::OsVersion => "os_version",
            StringField::EventName => "event_name",
            StringField::RevenueCurrency => "revenue_currency",
        }
    }
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
