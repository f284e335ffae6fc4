SELECT
    site_id, '$dimension' AS dimension, '' AS value, $value_id AS value_id, '' AS currency, day, version,
    $visitors AS visitors, sum(toUInt64(weight)) AS visits, sum(toUInt64(weight) * views) AS pageviews,
    sum(toUInt64(weight) * (views + customs)) AS events,
    sum(toUInt64(weight) * bounced) AS bounces, sum(weight * visit_engaged_ms) AS engaged_ms,
    toUInt64(0) AS page_engaged_ms, toUInt64(0) AS page_visits, toUInt64(0) AS scroll_percent, toUInt64(0) AS scrolled_pages,
    toInt64(0) AS revenue_micros, toUInt64(0) AS revenue_events, if(min(retention_class) = 0, 0, max(retention_class)) AS kept_as
FROM sessions
WHERE $where_versions AND is_stray = 0
GROUP BY site_id, day, version, value_id
