-- First the visits that are alike in all attributes, a tenth as many as visits; then each attribute of these.
SELECT
    site_id, attribute.1 AS dimension, attribute.2 AS value, toUInt32(0) AS value_id, '' AS currency, day, version,
    (sumIf(all_visits, visitor_number = 0) + uniqExactIf(visitor_number, visitor_number > 0)) * max(day_weight) AS visitors,
    sum(all_visits) * max(day_weight) AS visits, sum(all_views) * max(day_weight) AS pageviews,
    sum(all_events) * max(day_weight) AS events,
    sum(all_bounces) * max(day_weight) AS bounces, sum(all_engaged_ms) * max(day_weight) AS engaged_ms,
    toUInt64(0) AS page_engaged_ms, toUInt64(0) AS page_visits, toUInt64(0) AS scroll_percent, toUInt64(0) AS scrolled_pages,
    toInt64(0) AS revenue_micros, toUInt64(0) AS revenue_events, if(min(all_kept_as) = 0, 0, max(all_kept_as)) AS kept_as
FROM
(
    SELECT
        site_id, day, version, visitor_number, $attributes, max(toUInt64(weight)) AS day_weight, count() AS all_visits,
        sum(toUInt64(views)) AS all_views, all_views + sum(customs) AS all_events, sum(bounced) AS all_bounces,
        sum(sessions.engaged_ms) AS all_engaged_ms, if(min(retention_class) = 0, 0, max(retention_class)) AS all_kept_as
    FROM sessions
    WHERE $where_versions AND is_stray = 0
    GROUP BY site_id, day, version, visitor_number, $attributes
)
ARRAY JOIN [$pairs] AS attribute
GROUP BY site_id, day, version, dimension, value
