-- Some attributes of visits, each by itself in one pass. A key of all attributes first, and then each of these, takes three
-- times as long, measured. In a row of one set the columns of the others have their defaults; `place` tells which set it is.
SELECT
    site_id, [$names][place] AS dimension, $value AS value,
    toUInt32($value_id) AS value_id, '' AS currency, day, version,
    of_visitors AS visitors, of_visits AS visits, of_pageviews AS pageviews, of_events AS events, of_bounces AS bounces,
    of_engaged_ms AS engaged_ms,
    toUInt64(0) AS page_engaged_ms, toUInt64(0) AS page_visits, toUInt64(0) AS scroll_percent, toUInt64(0) AS scrolled_pages,
    toInt64(0) AS revenue_micros, toUInt64(0) AS revenue_events, of_kept_as AS kept_as
FROM
(
    SELECT
        site_id, day, version, $keys, indexOf([$groupings], 0) AS place, $visitors AS of_visitors,
        count() * max(toUInt64(weight)) AS of_visits, sum(of_views) * max(toUInt64(weight)) AS of_pageviews,
        (sum(of_views) + sum(of_customs)) * max(toUInt64(weight)) AS of_events,
        sum(of_bounced) * max(toUInt64(weight)) AS of_bounces,
        sum(of_engaged) * max(toUInt64(weight)) AS of_engaged_ms,
        if(min(retention_class) = 0, 0, max(retention_class)) AS of_kept_as
    FROM
    (
        SELECT
            site_id, day, version, $keys, visitor_number, weight, retention_class, toUInt64(views) AS of_views,
            customs AS of_customs, bounced AS of_bounced, visit_engaged_ms AS of_engaged
        FROM sessions
        WHERE $where_versions AND is_stray = 0
    )
    GROUP BY GROUPING SETS ($sets)
)
