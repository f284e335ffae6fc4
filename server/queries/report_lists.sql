-- The pages and sources of many sites with the most visitors, over closed days: large ones by their values, small ones by
-- their visits. A page is a number of `names`.
SELECT site_id, list, id, name, sum(of_visitors) AS all_visitors, sum(of_views) AS all_views
FROM
(
    SELECT
        site_id, toString(dimension) AS list, value_id AS id, toString(value) AS name,
        toInt64(sum(visitors)) AS of_visitors, toInt64(sum(pageviews)) AS of_views
    FROM daily
    WHERE site_id IN {site_ids:Array(UInt32)} AND dimension IN ('path', 'referrer_source')
        AND day >= toDate({first:String}) AND day <= toDate({last:String}) AND (site_id, version) IN $large_versions
    GROUP BY site_id, list, id, name
    UNION ALL
    SELECT
        site_id, 'referrer_source' AS list, toUInt32(0) AS id, toString(referrer_source) AS name,
        $visitors AS of_visitors, toInt64(sum(toInt64(weight) * all_views)) AS of_views
    FROM
    (
        SELECT site_id, day, referrer_source, visitor_number, weight, views AS all_views
        FROM sessions
        WHERE site_id IN {site_ids:Array(UInt32)} AND is_stray = 0
            AND day >= toDate({first:String}) AND day <= toDate({last:String}) AND (site_id, version) IN $small_versions
    )
    GROUP BY site_id, list, id, name
    UNION ALL
    SELECT
        site_id, 'path' AS list, page_id AS id, '' AS name,
        $visitors AS of_visitors, toInt64(sum(toInt64(weight) * page_views)) AS of_views
    FROM
    (
        SELECT site_id, day, visitor_number, weight, pages.id AS page_id, pages.views AS page_views
        FROM sessions
        ARRAY JOIN pages
        WHERE site_id IN {site_ids:Array(UInt32)} AND is_stray = 0 AND pages.views + pages.customs > 0
            AND day >= toDate({first:String}) AND day <= toDate({last:String}) AND (site_id, version) IN $small_versions
    )
    GROUP BY site_id, list, id, name
)
GROUP BY site_id, list, id, name
HAVING all_visitors > 0
ORDER BY site_id, list, all_visitors DESC, all_views DESC, id, name
LIMIT {most:UInt32} BY site_id, list
