-- Whether a site has a row from these times. Partitions and the key leave little to read, mostly nothing.
SELECT 1
FROM events
WHERE site_id = {site_id:UInt32}
    AND hour >= toDateTime({from_hour_s:Int64}, 'UTC') AND hour < toDateTime({until_hour_s:Int64}, 'UTC')
    AND time >= fromUnixTimestamp64Milli({from_ms:Int64}) AND time < fromUnixTimestamp64Milli({until_ms:Int64})
LIMIT 1
