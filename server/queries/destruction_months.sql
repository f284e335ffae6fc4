-- Months in which a site has rows of batches up to a second.
SELECT DISTINCT toYYYYMM(hour) AS month
FROM events
WHERE site_id = %(site_id)s AND batch_time <= toDateTime(%(until_s)s, 'UTC')
ORDER BY month
