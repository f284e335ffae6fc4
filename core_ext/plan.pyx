"""What the blocks' columns are called, which types they have, and how each is stored.

The one table is EVENTS_COLUMNS. The C side reads shapes and widths off its types when this module is imported, and
takes a column's place from the enum in events.pxd; `events_plan` is filled once and never changes.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from core_ext.events cimport *
from core_ext.record_layout cimport *
from core_ext.varint cimport VARINT_MAX_BYTES, write_varint

_METRICS = {
    METRIC_LCP_MS: "lcp_ms",
    METRIC_INP_MS: "inp_ms",
    METRIC_CLS: "cls",
    METRIC_FCP_MS: "fcp_ms",
    METRIC_TTFB_MS: "ttfb_ms",
    METRIC_DNS_MS: "dns_ms",
    METRIC_CONNECT_MS: "connect_ms",
    METRIC_TLS_MS: "tls_ms",
    METRIC_DOWNLOAD_MS: "download_ms",
    METRIC_DOM_INTERACTIVE_MS: "dom_interactive_ms",
    METRIC_DOM_CONTENT_LOADED_MS: "dom_content_loaded_ms",
    METRIC_LOAD_MS: "load_ms",
    METRIC_TRANSFER_BYTES: "transfer_bytes",
}

OUTCOME_LABELS = {
    OUTCOME_ACCEPTED: "accepted",
    OUTCOME_BOT: "bot",
    OUTCOME_PREFETCH: "prefetch",
    OUTCOME_REFERRER_SPAM: "referrer_spam",
    OUTCOME_HOSTNAME: "hostname",
    OUTCOME_RATE: "rate",
    OUTCOME_CAPACITY: "capacity",
    OUTCOME_BLOCKED: "blocked",
    OUTCOME_UNKNOWN_SITE: "unknown_site",
    OUTCOME_TIMESTAMP: "timestamp",
    OUTCOME_SAMPLED: "sampled",
    OUTCOME_UNSUPPORTED: "unsupported",
    OUTCOME_BLOCKED_NETWORK: "blocked_network",
    OUTCOME_BLOCKED_COUNTRY: "blocked_country",
    OUTCOME_BLOCKED_PATH: "blocked_path",
    OUTCOME_JSON: "json",
    OUTCOME_FIELD_TYPE: "field_type",
    OUTCOME_FIELD_MISSING: "field_missing",
    OUTCOME_FIELD_TOO_LONG: "field_too_long",
    OUTCOME_URL: "url",
    OUTCOME_BODY_TOO_LARGE: "body_too_large",
    OUTCOME_FIELD_RANGE: "field_range",
}


def _enum8(values):
    return "Enum8(" + ", ".join(f"'{name}' = {code}" for code, name in values.items()) + ")"


_KIND = _enum8({
    EVENT_PAGEVIEW: "pageview",
    EVENT_CUSTOM: "custom",
    EVENT_ENGAGEMENT: "engagement",
    EVENT_VITALS: "vitals",
    EVENT_TIMINGS: "timings",
})

_DEVICE = _enum8({
    DEVICE_UNKNOWN: "unknown",
    DEVICE_DESKTOP: "desktop",
    DEVICE_MOBILE: "mobile",
    DEVICE_TABLET: "tablet",
    DEVICE_TV: "tv",
    DEVICE_CONSOLE: "console",
    DEVICE_WEARABLE: "wearable",
    DEVICE_BOT: "bot",
})

_CHANNEL = _enum8({
    CHANNEL_DIRECT: "direct",
    CHANNEL_ORGANIC_SEARCH: "organic_search",
    CHANNEL_PAID_SEARCH: "paid_search",
    CHANNEL_ORGANIC_SOCIAL: "organic_social",
    CHANNEL_PAID_SOCIAL: "paid_social",
    CHANNEL_EMAIL: "email",
    CHANNEL_REFERRAL: "referral",
    CHANNEL_AFFILIATES: "affiliates",
    CHANNEL_DISPLAY: "display",
    CHANNEL_ORGANIC_VIDEO: "organic_video",
    CHANNEL_PAID_VIDEO: "paid_video",
    CHANNEL_ORGANIC_SHOPPING: "organic_shopping",
    CHANNEL_PAID_SHOPPING: "paid_shopping",
    CHANNEL_SMS: "sms",
    CHANNEL_PUSH: "push",
    CHANNEL_AI_ASSISTANT: "ai_assistant",
    CHANNEL_PAID_OTHER: "paid_other",
    CHANNEL_CROSS_NETWORK: "cross_network",
    CHANNEL_AUDIO: "audio",
})

_DICTIONARY = "LowCardinality(String)"
_TEXT = "String"
_PROPS = "Map(LowCardinality(String), String)"
_METRIC_MAP = "Map(LowCardinality(String), Float32)"

# In the order of the enum in events.pxd.
EVENTS_COLUMNS = (
    ("site_id", "UInt32"),
    ("hour", "DateTime('UTC')"),
    ("time", "DateTime64(3, 'UTC')"),
    ("kind", _KIND),
    ("visitor_id", "UInt64"),
    ("load_id", "UInt64"),
    ("event_name", _DICTIONARY),
    ("hostname", _DICTIONARY),
    ("path", _TEXT),
    ("referrer_source", _DICTIONARY),
    ("referrer", _TEXT),
    ("channel", _CHANNEL),
    ("utm_source", _DICTIONARY),
    ("utm_medium", _DICTIONARY),
    ("utm_campaign", _DICTIONARY),
    ("utm_term", _DICTIONARY),
    ("utm_content", _DICTIONARY),
    ("click_id", _DICTIONARY),
    ("country", _DICTIONARY),
    ("language", _DICTIONARY),
    ("timezone", _DICTIONARY),
    ("browser", _DICTIONARY),
    ("browser_version", _DICTIONARY),
    ("os", _DICTIONARY),
    ("os_version", _DICTIONARY),
    ("device", _DEVICE),
    ("screen_width_px", "UInt16"),
    ("screen_height_px", "UInt16"),
    ("engaged_ms", "UInt32"),
    ("scroll_depth_percent", "UInt8"),
    ("interactive", "UInt8"),
    ("sequence", "UInt16"),
    ("revenue_micros", "Int64"),
    ("revenue_currency", _DICTIONARY),
    ("props", _PROPS),
    ("metrics", _METRIC_MAP),
    ("bot_reasons", "UInt16"),
    ("sample_weight", "UInt16"),
    ("retention_class", "UInt8"),
    ("batch_time", "DateTime('UTC')"),
    ("batch_id", _DICTIONARY),
)

LEDGER_COLUMNS = (
    ("site_id", "UInt32"),
    ("hour", "DateTime('UTC')"),
    ("outcome", _DICTIONARY),
    ("bot_reasons", "UInt16"),
    ("count", "UInt64"),
    ("batch_time", "DateTime('UTC')"),
    ("batch_id", _DICTIONARY),
)

# The texts of a record that columns are named after, by number.
_STRINGS = {
    "hostname": STRING_HOSTNAME,
    "path": STRING_PATH,
    "referrer_source": STRING_REFERRER_SOURCE,
    "referrer": STRING_REFERRER,
    "utm_source": STRING_UTM_SOURCE,
    "utm_medium": STRING_UTM_MEDIUM,
    "utm_campaign": STRING_UTM_CAMPAIGN,
    "utm_term": STRING_UTM_TERM,
    "utm_content": STRING_UTM_CONTENT,
    "click_id": STRING_CLICK_ID,
    "country": STRING_COUNTRY,
    "language": STRING_LANGUAGE,
    "timezone": STRING_TIMEZONE,
    "browser": STRING_BROWSER,
    "browser_version": STRING_BROWSER_VERSION,
    "os": STRING_OS,
    "os_version": STRING_OS_VERSION,
    "event_name": STRING_EVENT_NAME,
    "revenue_currency": STRING_REVENUE_CURRENCY,
    "batch_id": DICTIONARY_BATCH_ID,
}

_SHAPES = {_TEXT: SHAPE_TEXT, _DICTIONARY: SHAPE_DICTIONARY, _PROPS: SHAPE_PROPS, _METRIC_MAP: SHAPE_METRICS}
_WIDTHS_BYTES = {
    "UInt8": 1, "UInt16": 2, "UInt32": 4, "UInt64": 8, "Int64": 8, "DateTime": 4, "DateTime64": 8, "Enum8": 1,
}

# The bytes that `events_plan` points to.
_kept = []


def stored_string(text):
    data = text.encode()
    cdef uint8_t[VARINT_MAX_BYTES] size
    cdef size_t size_bytes = write_varint(size, len(data))
    return PyBytes_FromStringAndSize(<char*>size, size_bytes) + data


cdef int _make_plan() except -1:
    """Fills the module's tables from EVENTS_COLUMNS."""
    cdef bytes kept
    cdef ColumnPlan* column
    if len(EVENTS_COLUMNS) != EVENTS_COLUMN_COUNT:
        raise ImportError("EVENTS_COLUMNS and events.pxd list different columns")
    for i, (name, type_name) in enumerate(EVENTS_COLUMNS):
        kept = stored_string(name) + stored_string(type_name)
        _kept.append(kept)
        column = &events_plan.columns[<size_t>i]
        column.header = <const uint8_t*>PyBytes_AS_STRING(kept)
        column.header_bytes = PyBytes_GET_SIZE(kept)
        column.shape = _SHAPES.get(type_name, SHAPE_FIXED)
        column.width_bytes = _WIDTHS_BYTES[type_name.partition("(")[0]] if column.shape == SHAPE_FIXED else 0
        column.source = _STRINGS[name] if column.shape in (SHAPE_TEXT, SHAPE_DICTIONARY) else 0
    for code, name in _METRICS.items():
        kept = name.encode()
        _kept.append(kept)
        events_plan.metric_names[<size_t>code].text = <const uint8_t*>PyBytes_AS_STRING(kept)
        events_plan.metric_names[<size_t>code].size_bytes = PyBytes_GET_SIZE(kept)
    hash_seed.first = int.from_bytes(os.urandom(8), "little")
    hash_seed.second = int.from_bytes(os.urandom(8), "little")
    return 0


_make_plan()
