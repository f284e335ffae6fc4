SELECT
    site_id, 'event_name' AS dimension, toString(name) AS value, toUInt32(0) AS value_id, '' AS currency, day, version,
    $visitors AS visitors, sum(toUInt64(weight)) AS visits, sum(if(name = 'pageview', weight * views, 0)) AS pageviews,
    sum(weight * if(name = 'pageview', views, arraySum((n, many) -> if(n = name, many, 0), names, counts))) AS events,
    toUInt64(0) AS bounces, toUInt64(0) AS engaged_ms, toUInt64(0) AS page_engaged_ms,
    toUInt64(0) AS page_visits, toUInt64(0) AS scroll_percent, toUInt64(0) AS scrolled_pages,
    toInt64(0) AS revenue_micros, toUInt64(0) AS revenue_events, if(min(retention_class) = 0, 0, max(retention_class)) AS kept_as
FROM
(
    SELECT
        site_id, day, version, visitor_number, toUInt64(weight) AS weight, retention_class, views, events.name AS names,
        events.count AS counts,
        arrayJoin(arrayConcat(if(views > 0, ['pageview'], []), arrayDistinct(CAST(names, 'Array(String)')))) AS name
    FROM sessions
    WHERE $where_versions AND is_stray = 0
)
GROUP BY site_id, day, version, value
