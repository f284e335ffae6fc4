-- Rows of a month that leave it for another retention class, once their copies are all where they belong.
SELECT toString(batch_id) AS batch_id, -toInt64(count()) AS rows
FROM events
WHERE site_id = %(site_id)s AND toYYYYMM(hour) = %(month)s AND retention_class = %(from_class)s
    AND batch_time < toDateTime(%(cutoff_s)s, 'UTC')
    AND hour >= toDateTime(%(since_s)s, 'UTC') AND batch_time < toDateTime(%(until_s)s, 'UTC')
    AND events.batch_id NOT IN %(unfinished)s
GROUP BY batch_id
