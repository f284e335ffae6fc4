-- Rows of a month on their way to another retention class, by batch: those in the staging table, less those that are still
-- where they were.
SELECT batch_id, sum(signed) AS rows
FROM
(
    SELECT toString(m.batch_id) AS batch_id, 1 AS signed
    FROM events_moving AS m
    WHERE m.hour >= toDateTime(%(since_s)s, 'UTC') AND m.batch_time < toDateTime(%(until_s)s, 'UTC')
        AND m.batch_id NOT IN %(unfinished)s
    UNION ALL
    SELECT toString(e.batch_id) AS batch_id, -1 AS signed
    FROM events AS e
    WHERE e.site_id = %(site_id)s AND toYYYYMM(e.hour) = %(month)s AND e.retention_class = %(from_class)s
        AND e.batch_time < toDateTime(%(cutoff_s)s, 'UTC')
        AND e.hour >= toDateTime(%(since_s)s, 'UTC') AND e.batch_time < toDateTime(%(until_s)s, 'UTC')
        AND e.batch_id NOT IN %(unfinished)s
)
GROUP BY batch_id
