-- A day of many sites: $visits visits of two views and one report of vitals each, of the sites $first, $first + $step, ….
INSERT INTO events (
    site_id, hour, time, kind, visitor_id, load_id, hostname, path, referrer_source, channel, browser, os, device, country,
    metrics, sample_weight, retention_class, batch_time)
SELECT
    site_id, toStartOfHour(at), at, if(part = 2, 'vitals', 'pageview'), cityHash64(site_id, $from_s, visit),
    cityHash64(site_id, $from_s, visit, part), 'www.shop.example',
    concat('/page/', toString(cityHash64(site_id, visit, if(part = 2, 1, part)) % 40)),
    ['', 'Google', 'DuckDuckGo', 'Hacker News'][1 + cityHash64(site_id, visit) % 4], 'direct',
    ['Firefox', 'Chrome', 'Safari'][1 + visit % 3], ['Linux', 'Windows'][1 + visit % 2], ['desktop', 'mobile'][1 + visit % 2],
    ['DE', 'US', 'IN'][1 + visit % 3],
    if(part = 2, map('lcp_ms', toFloat32(800 + cityHash64(site_id, visit, $from_s) % 4000), 'cls', toFloat32(0.05)), map()),
    1, 1, now()
FROM
(
    SELECT
        toUInt32($first + $step * intDiv(number, 3 * $visits)) AS site_id, intDiv(number, 3) % $visits AS visit, number % 3 AS part,
        toDateTime64($from_s + 86400 / $visits * visit + site_id % 60 + part * 20, 3, 'UTC') AS at
    FROM numbers($sites * 3 * $visits)
)
