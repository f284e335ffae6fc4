SELECT
    site_id, 'path' AS dimension, '' AS value, id AS value_id, '' AS currency, day, version,
    $visitors AS visitors, sum(visit_weight) AS visits, sum(visit_weight * id_views) AS pageviews,
    sum(visit_weight * (id_views + id_customs)) AS events, toUInt64(0) AS bounces,
    toUInt64(0) AS engaged_ms, sum(weight * id_engaged_ms) AS page_engaged_ms, sum(weight * (id_views > 0)) AS page_visits,
    sum(if(counts AND id_scroll != 255, weight * id_scroll, 0)) AS scroll_percent,
    sum(if(counts AND id_scroll != 255, weight, 0)) AS scrolled_pages,
    toInt64(0) AS revenue_micros, toUInt64(0) AS revenue_events, if(min(retention_class) = 0, 0, max(retention_class)) AS kept_as
FROM
(
    SELECT
        site_id, day, version, visitor_number, toUInt64(weight) AS weight, retention_class, NOT is_stray AS counts, id, id_views,
        id_customs, id_engaged_ms, id_scroll, if(id_views + id_customs > 0, weight, 0) AS visit_weight
    FROM sessions
    ARRAY JOIN
        pages.id AS id, pages.views AS id_views, pages.customs AS id_customs, page_engaged_ms AS id_engaged_ms,
        page_scroll_percent AS id_scroll
    WHERE $where_versions
)
GROUP BY site_id, day, version, value_id
