-- Sites at a glance: distinct visitors of each hour of the last two days, and of each of the two days as a whole (as
-- `age_h` -1 and -2). A visitor counts with the weight of the site's sampling.
SELECT site_id, age_h, toInt64(sum(weight)) AS visitors
FROM
(
    SELECT
        site_id,
        visitor_id,
        arrayJoin([age, if(age < 24, -1, -2)]) AS age_h,
        max(sample_weight) AS weight
    FROM
    (
        SELECT site_id, visitor_id, sample_weight, toInt32(intDiv({until_s:Int64} - 1 - toUnixTimestamp(time), 3600)) AS age
        FROM events
        WHERE site_id IN {site_ids:Array(UInt32)}
            AND hour >= toDateTime({from_s:Int64}, 'UTC') AND hour < toDateTime({until_s:Int64}, 'UTC')
            AND time >= toDateTime({from_s:Int64}, 'UTC') AND time < toDateTime({until_s:Int64}, 'UTC')
            AND kind IN ('pageview', 'custom') AND import_id = 0
    )
    GROUP BY site_id, visitor_id, age_h
)
GROUP BY site_id, age_h
ORDER BY site_id, age_h
