-- Each hour's events and visitors from `events`, its visits from the sessions that began in it.
INSERT INTO hourly
(
    site_id, day, version, starts_at, visitors, visits, pageviews, events, visit_views, bounces, engaged_ms, retention_class
)
SELECT
    site_id, day, version, starts_at, sum(h.visitors), sum(h.visits), sum(h.pageviews), sum(h.events), sum(h.visit_views),
    sum(h.bounces), sum(h.engaged_ms), if(min(h.kept_as) = 0, 0, max(h.kept_as))
FROM
(
    SELECT
        site_id, $day_of_hour AS day, $version AS version, toDateTime(intDiv(hour_ms, 1000), 'UTC') AS starts_at,
        uniqExact(visitor_id) * toUInt64(max(sample_weight)) AS visitors, toUInt64(0) AS visits,
        countIf(kind = 'pageview') * toUInt64(max(sample_weight)) AS pageviews, count() * toUInt64(max(sample_weight)) AS events,
        toUInt64(0) AS visit_views, toUInt64(0) AS bounces, toUInt64(0) AS engaged_ms,
        if(min(retention_class) = 0, 0, max(retention_class)) AS kept_as
    FROM events
    WHERE $where AND kind IN ('pageview', 'custom')
    GROUP BY site_id, roundDown(toUnixTimestamp64Milli(time), $hour_starts) AS hour_ms
    UNION ALL
    SELECT
        site_id, day, version, toDateTime(transform(toUInt32(day) * 32 + start_hour, $hour_keys, $hour_starts_s, 0), 'UTC') AS starts_at,
        toUInt64(0), sum(toUInt64(weight)), toUInt64(0), toUInt64(0), sum(toUInt64(weight) * views), sum(toUInt64(weight) * bounced),
        sum(weight * visit_engaged_ms), if(min(retention_class) = 0, 0, max(retention_class))
    FROM sessions
    WHERE $where_versions AND is_stray = 0
    GROUP BY site_id, day, version, starts_at
) AS h
WHERE version IN $versions
GROUP BY site_id, day, version, starts_at
