-- The hour of a site's first hit that came by itself; none: no row.
SELECT toUnixTimestamp(hour) AS hour_s
FROM events
WHERE site_id = %(site_id)s AND import_id = 0
ORDER BY hour
LIMIT 1
