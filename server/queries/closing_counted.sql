-- Of how many rows each version of these days was made.
SELECT site_id, version, max(event_rows) AS event_rows
FROM closings
WHERE site_id IN %(site_ids)s AND day >= %(first)s AND day <= %(last)s
GROUP BY site_id, version
