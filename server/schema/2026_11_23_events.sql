-- The rows. One wide table for page views, custom events, engagement, vitals and timings; column order = block order of
-- core_ext.EVENTS_COLUMNS (a test compares). A block is one (retention_class, month), so one INSERT is one part.
--
-- Retention class n is kept $retention_days days after its hour, by whole parts; class 0 means kept, which DateTime ends
-- in 2106. batch_id lives 7 days: that is the maximum age of a replay.
--
-- ZSTD(1) throughout, by measurement over 300,000 page views of generated visits, batch_id expired: 21.0 bytes each for one
-- site, 22.8 for fifty; LZ4 takes 32 and 35, ZSTD(3) saves 1 %, T64 and Delta cost more than they save. load_id and
-- visitor_id are random, so 11 of the bytes are theirs. `python -m bench store` measures it again.
--
-- Fresh parts are compact: a batch's part is then 14 files instead of 154, measured; merges make wide ones. It matters on
-- ext4, which searches past inodes it freed lately for each new file, and with durability = power, which syncs each file.
CREATE TABLE IF NOT EXISTS $events $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    hour DateTime('UTC') CODEC(ZSTD(1)),
    time DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    kind Enum8('pageview' = 1, 'custom' = 2, 'engagement' = 3, 'vitals' = 4, 'timings' = 5) CODEC(ZSTD(1)),
    visitor_id UInt64 CODEC(ZSTD(1)),
    load_id UInt64 CODEC(ZSTD(1)),
    event_name LowCardinality(String) CODEC(ZSTD(1)),
    hostname LowCardinality(String) CODEC(ZSTD(1)),
    path String CODEC(ZSTD(1)),
    referrer_source LowCardinality(String) CODEC(ZSTD(1)),
    referrer String CODEC(ZSTD(1)),
    channel Enum8(
        'direct' = 0, 'organic_search' = 1, 'paid_search' = 2, 'organic_social' = 3, 'paid_social' = 4, 'email' = 5,
        'referral' = 6, 'affiliates' = 7, 'display' = 8, 'organic_video' = 9, 'paid_video' = 10,
        'organic_shopping' = 11, 'paid_shopping' = 12, 'sms' = 13, 'push' = 14, 'ai_assistant' = 15, 'paid_other' = 16,
        'cross_network' = 17, 'audio' = 18) CODEC(ZSTD(1)),
    utm_source LowCardinality(String) CODEC(ZSTD(1)),
    utm_medium LowCardinality(String) CODEC(ZSTD(1)),
    utm_campaign LowCardinality(String) CODEC(ZSTD(1)),
    utm_term LowCardinality(String) CODEC(ZSTD(1)),
    utm_content LowCardinality(String) CODEC(ZSTD(1)),
    click_id LowCardinality(String) CODEC(ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
    language LowCardinality(String) CODEC(ZSTD(1)),
    timezone LowCardinality(String) CODEC(ZSTD(1)),
    browser LowCardinality(String) CODEC(ZSTD(1)),
    browser_version LowCardinality(String) CODEC(ZSTD(1)),
    os LowCardinality(String) CODEC(ZSTD(1)),
    os_version LowCardinality(String) CODEC(ZSTD(1)),
    device Enum8(
        'unknown' = 0, 'desktop' = 1, 'mobile' = 2, 'tablet' = 3, 'tv' = 4, 'console' = 5, 'wearable' = 6, 'bot' = 7) CODEC(ZSTD(1)),
    screen_width_px UInt16 CODEC(ZSTD(1)),
    screen_height_px UInt16 CODEC(ZSTD(1)),
    engaged_ms UInt32 CODEC(ZSTD(1)),
    scroll_depth_percent UInt8 CODEC(ZSTD(1)),
    interactive UInt8 CODEC(ZSTD(1)),
    sequence UInt16 CODEC(ZSTD(1)),
    revenue_micros Int64 CODEC(ZSTD(1)),
    revenue_currency LowCardinality(String) CODEC(ZSTD(1)),
    props Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    metrics Map(LowCardinality(String), Float32) CODEC(ZSTD(1)),
    bot_reasons UInt16 CODEC(ZSTD(1)),
    sample_weight UInt16 CODEC(ZSTD(1)),
    retention_class UInt8 CODEC(ZSTD(1)),
    batch_time DateTime('UTC') CODEC(ZSTD(1)),
    batch_id LowCardinality(String) CODEC(ZSTD(1)) TTL batch_time + toIntervalDay(7)
)
ENGINE = $events_engine
PARTITION BY (retention_class, toYYYYMM(hour))
ORDER BY (site_id, hour, visitor_id, time)
TTL hour + toIntervalDay(transform(retention_class, [1, 2, 3], [$retention_days], 21900))
SETTINGS $dedup_window ttl_only_drop_parts = 1, min_bytes_for_wide_part = 134217728;

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
