-- Stored rows per site, without the batches that are still in a spool or in quarantine.
SELECT site_id, count() AS rows
FROM events
WHERE hour >= toDateTime(%(since_s)s, 'UTC') AND batch_time < toDateTime(%(until_s)s, 'UTC')
    AND batch_id NOT IN %(unfinished)s
    AND (batch_time < toDateTime(%(settled_s)s, 'UTC') OR (import_id = 0 AND NOT startsWith(toString(batch_id), 'demo-')))
GROUP BY site_id
