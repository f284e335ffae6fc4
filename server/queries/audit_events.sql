-- Stored rows per site, without the batches that are still in a spool or in quarantine.
SELECT site_id, count() AS rows
FROM events
WHERE hour >= toDateTime(%(since_s)s, 'UTC') AND batch_time < toDateTime(%(until_s)s, 'UTC')
    AND batch_id NOT IN %(unfinished)s
GROUP BY site_id
