-- Whether a month has rows of a site that the ledger is to have lines for.
SELECT 1
FROM events
WHERE site_id = %(site_id)s AND toYYYYMM(hour) = %(month)s AND batch_time <= toDateTime(%(until_s)s, 'UTC')
    AND import_id = 0
LIMIT 1
