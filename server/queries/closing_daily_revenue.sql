SELECT
    site_id, 'revenue' AS dimension, toString(name) AS value, toUInt32(0) AS value_id, toString(money) AS currency, day, version,
    toUInt64(0) AS visitors, toUInt64(0) AS visits, toUInt64(0) AS pageviews, toUInt64(0) AS events,
    toUInt64(0) AS bounces, toUInt64(0) AS engaged_ms, toUInt64(0) AS page_engaged_ms, toUInt64(0) AS page_visits,
    toUInt64(0) AS scroll_percent, toUInt64(0) AS scrolled_pages,
    toInt64(sum(weight * micros)) AS revenue_micros, toUInt64(sum(weight * many)) AS revenue_events,
    if(min(retention_class) = 0, 0, max(retention_class)) AS kept_as
FROM
(
    SELECT site_id, day, version, toInt64(weight) AS weight, retention_class, name, money, many, micros
    FROM sessions
    ARRAY JOIN events.name AS name, events.currency AS money, events.count AS many, events.revenue_micros AS micros
    WHERE $where_versions AND is_stray = 0 AND money != ''
)
GROUP BY site_id, day, version, value, currency
