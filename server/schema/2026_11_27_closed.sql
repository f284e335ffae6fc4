-- Closed days: what `jobs.closing` makes of a site's local days once they have ended. `server.queries.closed_tables` says
-- what readers may rely on: keys, versions, `(other)`, weights.
--
-- Every row carries the version that wrote it; the app database's `closed_days` names the version of a day that readers
-- use. Rows of other versions are leftovers and are deleted later. retention_class as in `events`: whole parts leave.
--
-- `python -m bench queries` measures them. What carries it: visits sorted by their attributes, so that attributes cost next
-- to nothing (0.8 bytes per view instead of 4); paths as numbers of `names` (1.7 bytes); no visitor_id, a random number of
-- 8 bytes, but a `visitor_number` that is 0 for the nine in ten who came once that day.

-- Paths by number, so that a page of a visit is one to three bytes. Numbers of a site begin at 2: 0 stands for none at
-- all, 1 for the empty path. Frequent paths come first. A path may have several numbers (after a crash); readers add up.
CREATE TABLE IF NOT EXISTS $names $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    name_id UInt32 CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1))
)
ENGINE = $engine
ORDER BY (site_id, name_id);

-- Which versions there are, written before anything else of a version, and of how many rows of `events` each was made.
CREATE TABLE IF NOT EXISTS $closings $on_cluster
(
    site_id UInt32,
    day Date,
    version UInt64,
    event_rows UInt64
)
ENGINE = $engine
ORDER BY (site_id, day, version);

-- One row for each visit, and one for each piece of engaged time that belongs to none (`is_stray`).
CREATE TABLE IF NOT EXISTS $sessions $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    day Date CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    browser LowCardinality(String) CODEC(ZSTD(1)),
    browser_version LowCardinality(String) CODEC(ZSTD(1)),
    os LowCardinality(String) CODEC(ZSTD(1)),
    os_version LowCardinality(String) CODEC(ZSTD(1)),
    device Enum8(
        'unknown' = 0, 'desktop' = 1, 'mobile' = 2, 'tablet' = 3, 'tv' = 4, 'console' = 5, 'wearable' = 6, 'bot' = 7) CODEC(ZSTD(1)),
    screen_class LowCardinality(String) CODEC(ZSTD(1)),
    channel Enum8(
        'direct' = 0, 'organic_search' = 1, 'paid_search' = 2, 'organic_social' = 3, 'paid_social' = 4, 'email' = 5,
        'referral' = 6, 'affiliates' = 7, 'display' = 8, 'organic_video' = 9, 'paid_video' = 10,
        'organic_shopping' = 11, 'paid_shopping' = 12, 'sms' = 13, 'push' = 14, 'ai_assistant' = 15, 'paid_other' = 16,
        'cross_network' = 17, 'audio' = 18) CODEC(ZSTD(1)),
    referrer_source LowCardinality(String) CODEC(ZSTD(1)),
    referrer LowCardinality(String) CODEC(ZSTD(1)),
    utm_source LowCardinality(String) CODEC(ZSTD(1)),
    utm_medium LowCardinality(String) CODEC(ZSTD(1)),
    utm_campaign LowCardinality(String) CODEC(ZSTD(1)),
    utm_term LowCardinality(String) CODEC(ZSTD(1)),
    utm_content LowCardinality(String) CODEC(ZSTD(1)),
    click_id LowCardinality(String) CODEC(ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
    language LowCardinality(String) CODEC(ZSTD(1)),
    visit_hostname LowCardinality(String) CODEC(ZSTD(1)),
    start_hour UInt8 CODEC(ZSTD(1)),
    visitor_number UInt32 CODEC(ZSTD(1)),
    weight UInt16 CODEC(ZSTD(1)),
    is_stray UInt8 CODEC(ZSTD(1)),
    interacted UInt8 CODEC(ZSTD(1)),
    engaged_ms UInt64 CODEC(T64, ZSTD(1)),
    repeated_views Int32 CODEC(ZSTD(1)),
    after_exit UInt32 CODEC(ZSTD(1)),
    pages Nested(id UInt32, views UInt32, customs UInt32, early_engaged_ms UInt64, scroll_percent UInt8) CODEC(T64, ZSTD(1)),
    events Nested(name LowCardinality(String), currency LowCardinality(String), count UInt32, revenue_micros Int64) CODEC(ZSTD(1)),
    retention_class UInt8 CODEC(ZSTD(1)),
    views UInt32 ALIAS toUInt32(length(pages.id) + repeated_views),
    customs UInt64 ALIAS arraySum(events.count),
    bounced UInt8 ALIAS views < 2 AND engaged_ms < 10000 AND NOT interacted,
    entry_id UInt32 ALIAS if(views = 0, 1, pages.id[1]),
    exit_id UInt32 ALIAS if(views = 0, 1, pages.id[length(pages.id) - after_exit]),
    page_engaged_ms Array(UInt64) ALIAS arrayPushBack(
        arrayPopBack(pages.early_engaged_ms), toUInt64(engaged_ms - arraySum(pages.early_engaged_ms)))
)
ENGINE = $engine
PARTITION BY (retention_class, toYYYYMM(day))
PRIMARY KEY (site_id, day, version)
ORDER BY (
    site_id, day, version, browser, browser_version, os, os_version, device, screen_class, channel, referrer_source, referrer,
    utm_source, utm_medium, utm_campaign, country, language)
TTL day + toIntervalDay(transform(retention_class, [1, 2, 3], [$retention_days], 21900))
SETTINGS ttl_only_drop_parts = 1;

-- Whole numbers for each value of each dimension, and for the whole day (dimension `total`). Most visitors come once and
-- most events are views, so what goes beyond is what is stored. A day's values together take 2.7 bytes per view where a
-- value's days together take 3.5: day and version then cost nothing.
CREATE TABLE IF NOT EXISTS $daily $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    dimension LowCardinality(String) CODEC(ZSTD(1)),
    value LowCardinality(String) CODEC(ZSTD(1)),
    value_id UInt32 CODEC(Delta, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    day Date CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    visitors UInt64 CODEC(T64, ZSTD(1)),
    more_visits Int64 CODEC(T64, ZSTD(1)),
    pageviews UInt64 CODEC(T64, ZSTD(1)),
    customs Int64 CODEC(T64, ZSTD(1)),
    bounces UInt64 CODEC(T64, ZSTD(1)),
    engaged_ms UInt64 CODEC(T64, ZSTD(1)),
    page_engaged_ms UInt64 CODEC(T64, ZSTD(1)),
    page_visits UInt64 CODEC(T64, ZSTD(1)),
    scroll_percent UInt64 CODEC(T64, ZSTD(1)),
    scrolled_pages UInt64 CODEC(T64, ZSTD(1)),
    revenue_micros Int64 CODEC(T64, ZSTD(1)),
    revenue_events UInt64 CODEC(T64, ZSTD(1)),
    retention_class UInt8 CODEC(ZSTD(1)),
    visits UInt64 ALIAS toUInt64(visitors + more_visits),
    events UInt64 ALIAS toUInt64(pageviews + customs),
    visit_views UInt64 ALIAS if(dimension IN ('path', 'event_name'), 0, pageviews)
)
ENGINE = $engine
PARTITION BY (retention_class, toYYYYMM(day))
ORDER BY (site_id, dimension, day, version, value, value_id, currency)
TTL day + toIntervalDay(transform(retention_class, [1, 2, 3], [$retention_days], 21900))
SETTINGS ttl_only_drop_parts = 1;

-- Whole numbers for each hour of the site's clocks, by the instant (UTC) at which it begins.
CREATE TABLE IF NOT EXISTS $hourly $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    day Date CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    starts_at DateTime('UTC') CODEC(ZSTD(1)),
    visitors UInt64 CODEC(T64, ZSTD(1)),
    visits UInt64 CODEC(T64, ZSTD(1)),
    pageviews UInt64 CODEC(T64, ZSTD(1)),
    events UInt64 CODEC(T64, ZSTD(1)),
    visit_views UInt64 CODEC(T64, ZSTD(1)),
    bounces UInt64 CODEC(T64, ZSTD(1)),
    engaged_ms UInt64 CODEC(T64, ZSTD(1)),
    retention_class UInt8 CODEC(ZSTD(1))
)
ENGINE = $engine
PARTITION BY (retention_class, toYYYYMM(day))
ORDER BY (site_id, day, version, starts_at)
TTL day + toIntervalDay(transform(retention_class, [1, 2, 3], [$retention_days], 21900))
SETTINGS ttl_only_drop_parts = 1;

-- One row for each page load that reported something: the bucket (`server.queries.vital_buckets`) of each last value, plus
-- one; 0 where it reported none. Histograms for each page, country, device and browser would take more room: most of their
-- cells hold one load. Loads with vitals and loads with timings lie apart, so that the zeros do.
CREATE TABLE IF NOT EXISTS $vitals $on_cluster
(
    site_id UInt32 CODEC(ZSTD(1)),
    day Date CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    browser LowCardinality(String) CODEC(ZSTD(1)),
    browser_version LowCardinality(String) CODEC(ZSTD(1)),
    os LowCardinality(String) CODEC(ZSTD(1)),
    os_version LowCardinality(String) CODEC(ZSTD(1)),
    device Enum8(
        'unknown' = 0, 'desktop' = 1, 'mobile' = 2, 'tablet' = 3, 'tv' = 4, 'console' = 5, 'wearable' = 6, 'bot' = 7) CODEC(ZSTD(1)),
    screen_class LowCardinality(String) CODEC(ZSTD(1)),
    country LowCardinality(String) CODEC(ZSTD(1)),
    language LowCardinality(String) CODEC(ZSTD(1)),
    hostname LowCardinality(String) CODEC(ZSTD(1)),
    page_id UInt32 CODEC(T64, ZSTD(1)),
    weight UInt16 CODEC(ZSTD(1)),
    lcp_ms UInt16 CODEC(T64, ZSTD(1)),
    inp_ms UInt16 CODEC(T64, ZSTD(1)),
    cls UInt16 CODEC(T64, ZSTD(1)),
    fcp_ms UInt16 CODEC(T64, ZSTD(1)),
    ttfb_ms UInt16 CODEC(T64, ZSTD(1)),
    dns_ms UInt16 CODEC(T64, ZSTD(1)),
    connect_ms UInt16 CODEC(T64, ZSTD(1)),
    tls_ms UInt16 CODEC(T64, ZSTD(1)),
    download_ms UInt16 CODEC(T64, ZSTD(1)),
    dom_interactive_ms UInt16 CODEC(T64, ZSTD(1)),
    dom_content_loaded_ms UInt16 CODEC(T64, ZSTD(1)),
    load_ms UInt16 CODEC(T64, ZSTD(1)),
    transfer_bytes UInt16 CODEC(T64, ZSTD(1)),
    retention_class UInt8 CODEC(ZSTD(1))
)
ENGINE = $engine
PARTITION BY (retention_class, toYYYYMM(day))
PRIMARY KEY (site_id, day, version)
ORDER BY (
    site_id, day, version, lcp_ms = 0, load_ms = 0, browser, browser_version, os, os_version, device, screen_class, country, language)
TTL day + toIntervalDay(transform(retention_class, [1, 2, 3], [$retention_days], 21900))
SETTINGS ttl_only_drop_parts = 1;

-- form: cluster
CREATE TABLE IF NOT EXISTS names $on_cluster AS $names
ENGINE = Distributed('$cluster', currentDatabase(), '$names', cityHash64(site_id));

-- form: cluster
CREATE TABLE IF NOT EXISTS closings $on_cluster AS $closings
ENGINE = Distributed('$cluster', currentDatabase(), '$closings', cityHash64(site_id));

-- form: cluster
CREATE TABLE IF NOT EXISTS sessions $on_cluster AS $sessions
ENGINE = Distributed('$cluster', currentDatabase(), '$sessions', rand());

-- form: cluster
CREATE TABLE IF NOT EXISTS daily $on_cluster AS $daily
ENGINE = Distributed('$cluster', currentDatabase(), '$daily', cityHash64(site_id));

-- form: cluster
CREATE TABLE IF NOT EXISTS hourly $on_cluster AS $hourly
ENGINE = Distributed('$cluster', currentDatabase(), '$hourly', cityHash64(site_id));

-- form: cluster
CREATE TABLE IF NOT EXISTS vitals $on_cluster AS $vitals
ENGINE = Distributed('$cluster', currentDatabase(), '$vitals', rand());
