//! The record's byte table as a Cython header. `cargo run --example record_layout` prints it; it is committed as
//! `core_ext/record_layout.pxd`, and a test fails when the two differ, so the encoder and core_ext cannot drift apart.

use std::fmt::Write;

use crate::drop_reason::Outcome;
use crate::record::{self, Channel, Device, EventKind, Metric, StringField, offset};
use crate::segment;

/// The whole text of `core_ext/record_layout.pxd`.
#[must_use]
pub fn record_layout_pxd() -> String {
    let mut text = String::from(
        "# Generated from rust_ext/ingest/src/record.rs and segment.rs by:\n\
         #   cargo run -p footfall-ingest --example record_layout > core_ext/record_layout.pxd\n\
         # Do not edit: a test compares it with the crate.\n\n\
         cdef enum:\n",
    );
    let mut line = |name: &str, value: usize| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "    {name} = {value}");
    };
    line("SEGMENT_HEADER_BYTES", segment::HEADER_BYTES);
    line("SEGMENT_SHARD_OFFSET", segment::offset::SHARD);
    line("SEGMENT_ID_OFFSET", segment::offset::ID);
    line("SEGMENT_ID_BYTES", segment::ID_BYTES);
    line("SEGMENT_CREATED_AT_MS_OFFSET", segment::offset::CREATED_AT_MS);
    line("SEGMENT_MONTH_OFFSET", segment::offset::MONTH);
    line("SEGMENT_RETENTION_CLASS_OFFSET", segment::offset::RETENTION_CLASS);
    line("FRAME_HEADER_BYTES", segment::FRAME_HEADER_BYTES);
    line("RECORD_HIT", usize::from(record::RECORD_HIT));
    line("RECORD_SHORT", usize::from(record::RECORD_SHORT));
    line("RECORD_MAX_BYTES", record::RECORD_MAX_BYTES);
    line("HIT_FIXED_BYTES", record::HIT_FIXED_BYTES);
    line("SHORT_RECORD_BYTES", record::SHORT_RECORD_BYTES);
    line("SCROLL_DEPTH_ABSENT", usize::from(record::SCROLL_DEPTH_ABSENT));
    for (name, value) in [
        ("RECORD_KIND", offset::RECORD_KIND),
        ("EVENT_KIND", offset::EVENT_KIND),
        ("BOT_REASONS", offset::BOT_REASONS),
        ("SITE_ID", offset::SITE_ID),
        ("TIME_MS", offset::TIME_MS),
        ("VISITOR_ID", offset::VISITOR_ID),
        ("LOAD_ID", offset::LOAD_ID),
        ("ENGAGED_MS", offset::ENGAGED_MS),
        ("SCREEN_WIDTH_PX", offset::SCREEN_WIDTH_PX),
        ("SCREEN_HEIGHT_PX", offset::SCREEN_HEIGHT_PX),
        ("SAMPLE_WEIGHT", offset::SAMPLE_WEIGHT),
        ("DEVICE", offset::DEVICE),
        ("CHANNEL", offset::CHANNEL),
        ("SCROLL_DEPTH_PERCENT", offset::SCROLL_DEPTH_PERCENT),
        ("INTERACTIVE", offset::INTERACTIVE),
        ("RETENTION_CLASS", offset::RETENTION_CLASS),
        ("PROPS_COUNT", offset::PROPS_COUNT),
        ("METRICS_COUNT", offset::METRICS_COUNT),
        ("SEQUENCE", offset::SEQUENCE),
        ("REVENUE_MICROS", offset::REVENUE_MICROS),
        ("STRING_LENGTHS", offset::STRING_LENGTHS),
        ("SHORT_OUTCOME", offset::SHORT_OUTCOME),
        ("SHORT_BOT_REASONS", offset::SHORT_BOT_REASONS),
        ("SHORT_SITE_ID", offset::SHORT_SITE_ID),
        ("SHORT_TIME_MS", offset::SHORT_TIME_MS),
    ] {
        line(&format!("OFFSET_{name}"), value);
    }
    line("STRING_FIELDS", record::STRING_FIELDS);
    for field in StringField::ALL {
        line(&format!("STRING_{}", field.name().to_uppercase()), field as usize);
    }
    for kind in EventKind::ALL {
        line(&format!("EVENT_{}", kind.name().to_uppercase()), usize::from(kind.code()));
    }
    for device in Device::ALL {
        line(&format!("DEVICE_{}", device.name().to_uppercase()), usize::from(device.code()));
    }
    for channel in Channel::ALL {
        line(&format!("CHANNEL_{}", channel.name().to_uppercase()), usize::from(channel.code()));
    }
    for metric in Metric::ALL {
        line(&format!("METRIC_{}", metric.name().to_uppercase()), usize::from(metric.code()));
    }
    for outcome in Outcome::ALL {
        line(&format!("OUTCOME_{}", outcome.label().to_uppercase()), usize::from(outcome.code()));
    }
    text
}
