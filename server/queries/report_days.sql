-- The sums of many sites' closed days, whole: a row for each site and day.
SELECT
    site_id, toUInt16(day) AS day_number, toInt64(sum(visitors)), toInt64(sum(visits)), toInt64(sum(pageviews)),
    toInt64(sum(visit_views)), toInt64(sum(bounces)), toInt64(sum(engaged_ms))
FROM daily
WHERE site_id IN {site_ids:Array(UInt32)} AND dimension = 'total'
    AND day >= toDate({first:String}) AND day <= toDate({last:String}) AND (site_id, version) IN $versions
GROUP BY site_id, day_number
