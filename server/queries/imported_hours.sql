-- The hours of which an import has rows.
SELECT DISTINCT toUnixTimestamp(hour) AS hour_s
FROM events
WHERE site_id = %(site_id)s AND import_id = %(import_id)s
ORDER BY hour_s
