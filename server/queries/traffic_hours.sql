-- Page views and custom events of many sites in some hours (UTC).
SELECT site_id, toInt64(toUnixTimestamp(hour)) AS hour_s, toInt64(sum(sample_weight)) AS hits
FROM events
WHERE site_id IN {site_ids:Array(UInt32)}
    AND hour IN (SELECT arrayJoin(arrayMap(each -> toDateTime(each, 'UTC'), {hours:Array(Int64)})))
    AND kind IN ('pageview', 'custom') AND import_id = 0
GROUP BY site_id, hour_s
