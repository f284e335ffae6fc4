-- The hours of which accepted hits were stored lately.
SELECT DISTINCT site_id, toUnixTimestamp(hour) AS hour_s
FROM ledger
WHERE batch_time >= toDateTime(%(since_s)s, 'UTC') AND outcome = %(accepted)s AND site_id != 0
ORDER BY site_id, hour_s
