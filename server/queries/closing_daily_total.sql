SELECT
    site_id, 'total' AS dimension, '' AS value, toUInt32(0) AS value_id, '' AS currency, day, version,
    $visitors AS visitors, sum(weight * counts) AS visits, sum(weight * counts * views) AS pageviews,
    sum(weight * counts * (views + customs)) AS events,
    sum(weight * counts * bounced) AS bounces, sum(weight * counts * visit_engaged_ms) AS engaged_ms,
    sum(weight * visit_engaged_ms) AS page_engaged_ms, sum(weight * counts * arrayCount(n -> n > 0, pages.views)) AS page_visits,
    sum(weight * counts * arraySum(p -> if(p = 255, 0, p), engagement.scroll_percent)) AS scroll_percent,
    sum(weight * counts * arrayCount(p -> p != 255, engagement.scroll_percent)) AS scrolled_pages,
    toInt64(0) AS revenue_micros, toUInt64(0) AS revenue_events, if(min(retention_class) = 0, 0, max(retention_class)) AS kept_as
FROM
(
    SELECT
        site_id, day, version, visitor_number, weight, retention_class, pages.views, engagement.scroll_percent, views, customs,
        bounced, visit_engaged_ms, toUInt8(NOT is_stray) AS counts
    FROM sessions
    WHERE $where_versions
) AS sessions
GROUP BY site_id, day, version
