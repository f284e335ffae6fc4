-- Months in which a site has rows of batches up to a second, and whether the ledger is to have lines for them.
SELECT toYYYYMM(hour) AS month, countIf(import_id = 0) > 0 AS is_counted
FROM events
WHERE site_id = %(site_id)s AND batch_time <= toDateTime(%(until_s)s, 'UTC')
GROUP BY month
ORDER BY month
