-- The rows. One wide table for page views, custom events, engagement, vitals and timings; column order = block order of
-- core_ext.EVENTS_COLUMNS (a test compares). A block is one (retention_class, month), so one INSERT is one part.
--
-- Retention class n is kept $retention_days days after its hour, by whole parts; class 0 means kept, which DateTime ends
-- in 2106. batch_id lives 7 days: that is the maximum age of a replay.
--
-- Codecs are measured (bench/store.py, bytes_per_page_view): the sort key makes site_id, hour and visitor_id runs.
CREATE TABLE IF NOT EXISTS $events $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    hour DateTime('UTC') CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    kind Enum8('pageview' = 1, 'custom' = 2, 'engagement' = 3, 'vitals' = 4, 'timings' = 5),
    visitor_id UInt64 CODEC(ZSTD(1)),
    load_id UInt64 CODEC(ZSTD(1)),
    event_name LowCardinality(String),
    hostname LowCardinality(String),
    path String CODEC(ZSTD(1)),
    referrer_source LowCardinality(String),
    referrer String CODEC(ZSTD(1)),
    channel Enum8(
        'direct' = 0, 'organic_search' = 1, 'paid_search' = 2, 'organic_social' = 3, 'paid_social' = 4, 'email' = 5,
        'referral' = 6, 'affiliates' = 7, 'display' = 8, 'organic_video' = 9, 'paid_video' = 10,
        'organic_shopping' = 11, 'paid_shopping' = 12, 'sms' = 13, 'push' = 14, 'ai_assistant' = 15, 'paid_other' = 16,
        'cross_network' = 17, 'audio' = 18),
    utm_source LowCardinality(String),
    utm_medium LowCardinality(String),
    utm_campaign LowCardinality(String),
    utm_term LowCardinality(String),
    utm_content LowCardinality(String),
    click_id LowCardinality(String),
    country LowCardinality(String),
    language LowCardinality(String),
    timezone LowCardinality(String),
    browser LowCardinality(String),
    browser_version LowCardinality(String),
    os LowCardinality(String),
    os_version LowCardinality(String),
    device Enum8(
        'unknown' = 0, 'desktop' = 1, 'mobile' = 2, 'tablet' = 3, 'tv' = 4, 'console' = 5, 'wearable' = 6, 'bot' = 7),
    screen_width_px UInt16,
    screen_height_px UInt16,
    engaged_ms UInt32,
    scroll_depth_percent UInt8,
    interactive UInt8,
    sequence UInt16,
    revenue_micros Int64,
    revenue_currency LowCardinality(String),
    props Map(LowCardinality(String), String),
    metrics Map(LowCardinality(String), Float32),
    bot_reasons UInt16,
    sample_weight UInt16,
    retention_class UInt8,
    batch_time DateTime('UTC') CODEC(ZSTD(1)),
    batch_id LowCardinality(String) TTL batch_time + toIntervalDay(7)
)
ENGINE = $events_engine
PARTITION BY (retention_class, toYYYYMM(hour))
ORDER BY (site_id, hour, visitor_id, time)
TTL hour + toIntervalDay(transform(retention_class, [1, 2, 3], [$retention_days], 21900))
SETTINGS $dedup_window ttl_only_drop_parts = 1;

-- How many hits of each outcome were answered, per site and hour: a segment's short records counted, and its accepted
-- rows. After 7 days, when no replay may come any more, the lines of many batches fold into one per key.
CREATE TABLE IF NOT EXISTS $ledger $on_cluster
(
    site_id UInt32,
    hour DateTime('UTC'),
    outcome LowCardinality(String),
    bot_reasons UInt16,
    count UInt64,
    batch_time DateTime('UTC'),
    batch_id LowCardinality(String)
)
ENGINE = $ledger_engine
PARTITION BY toYYYYMM(hour)
ORDER BY (site_id, hour, outcome, bot_reasons)
TTL batch_time + toIntervalDay(7) GROUP BY site_id, hour, outcome, bot_reasons
    SET count = sum(count), batch_time = max(batch_time), batch_id = substring(any(batch_id), 1, 0)
SETTINGS $dedup_window index_granularity = 8192;

-- form: cluster
CREATE TABLE IF NOT EXISTS events $on_cluster AS $events
ENGINE = Distributed('$cluster', currentDatabase(), '$events', cityHash64(site_id, visitor_id));

-- form: cluster
CREATE TABLE IF NOT EXISTS ledger $on_cluster AS $ledger
ENGINE = Distributed('$cluster', currentDatabase(), '$ledger', cityHash64(site_id));
