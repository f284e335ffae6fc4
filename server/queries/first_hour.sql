-- The first hour of which a site has rows: the table is sorted by site and hour, so it is read from the front.
SELECT toUnixTimestamp(hour) AS hour_s
FROM events
WHERE site_id = {site_id:UInt32}
ORDER BY site_id, hour
LIMIT 1
