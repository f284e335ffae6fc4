-- Who is on many sites now, and who was there within the last hour. A visitor counts with the weight of the site's sampling.
SELECT site_id, toInt64(sumIf(weight, seen_ms >= {now_from_ms:Int64})), toInt64(sumIf(weight, acted_ms >= {from_ms:Int64}))
FROM
(
    SELECT
        site_id, visitor_id, max(sample_weight) AS weight, max(toUnixTimestamp64Milli(time)) AS seen_ms,
        maxIf(toUnixTimestamp64Milli(time), kind IN ('pageview', 'custom')) AS acted_ms
    FROM events
    WHERE site_id IN {site_ids:Array(UInt32)} AND hour >= toDateTime({hour_s:Int64}, 'UTC')
        AND time >= fromUnixTimestamp64Milli({from_ms:Int64}) AND time < fromUnixTimestamp64Milli({until_ms:Int64})
        AND kind IN ('pageview', 'custom', 'engagement') AND import_id = 0
    GROUP BY site_id, visitor_id
)
GROUP BY site_id
