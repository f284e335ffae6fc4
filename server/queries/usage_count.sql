-- Billable events of sites within one day (UTC), by the pieces into which these moments cut it: page views and custom
-- events that came as hits. Rows of imports are none, nor are those that were known for bots and kept all the same.
SELECT
    site_id,
    roundDown(toInt64(toUnixTimestamp64Milli(time)), CAST(%(cuts)s, 'Array(Int64)')) AS piece_ms,
    count() AS events
FROM events
WHERE site_id IN %(site_ids)s
    AND hour >= toDateTime(%(from_s)s, 'UTC') AND hour < toDateTime(%(until_s)s, 'UTC')
    AND kind IN ('pageview', 'custom') AND import_id = 0 AND bot_reasons = 0
GROUP BY site_id, piece_ms
ORDER BY site_id, piece_ms
