-- Who was there in the last minutes, in one pass: one row for each minute, page, source and country, and for the totals
-- (`now`, `all`). A visitor comes from where the first event of the last hour says; counts multiply by the sample weight.
SELECT item.1 AS what, item.2 AS value, toInt64(sum(weight)) AS visitors, toInt64(sum(item.3)) AS pageviews
FROM
(
    SELECT
        weight,
        arrayJoin(arrayConcat(
            [('all', '', toInt64(0))],
            if(last_ms >= {now_from_ms:Int64}, [('now', '', toInt64(0))], []),
            [('source', source, toInt64(0)), ('country', country, toInt64(0))],
            arrayMap(path -> ('page', path, toInt64(0)), pages),
            arrayMap((minute, views) -> ('minute', toString(minute), views), minutes.1, minutes.2)
        )) AS item
    FROM
    (
        SELECT
            visitor_id,
            max(toInt64(sample_weight)) AS weight,
            max(toUnixTimestamp64Milli(time)) AS last_ms,
            argMin(toString(referrer_source), time) AS source,
            argMin(toString(country), time) AS country,
            groupUniqArrayIf(path, kind = 'pageview' AND time >= fromUnixTimestamp64Milli({from_ms:Int64})) AS pages,
            sumMapIf(
                [intDiv(toUnixTimestamp64Milli(time), 60000) * 60000],
                [if(kind = 'pageview', toInt64(sample_weight), toInt64(0))],
                time >= fromUnixTimestamp64Milli({from_ms:Int64})
            ) AS minutes
        FROM events
        WHERE site_id = {site_id:UInt32} AND hour >= toDateTime({hour_s:Int64}, 'UTC')
            AND time >= fromUnixTimestamp64Milli({read_from_ms:Int64}) AND time < fromUnixTimestamp64Milli({until_ms:Int64})
            AND kind IN ('pageview', 'custom', 'engagement') AND import_id = 0
        GROUP BY visitor_id
        HAVING last_ms >= {from_ms:Int64}
    )
)
GROUP BY what, value
ORDER BY what, visitors DESC, pageviews DESC, value
LIMIT {rows:UInt32} BY what
