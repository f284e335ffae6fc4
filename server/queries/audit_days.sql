-- Days (UTC) of sites on which the rows are not those that were accepted, less those that were destroyed: gaps of two days
-- may cancel each other in a site's sum.
SELECT site_id, toString(day) AS day, sum(stored) AS rows, sum(accepted) AS hits, sum(destroyed) AS gone
FROM
(
    SELECT site_id, toDate(hour) AS day, toInt64(count()) AS stored, toInt64(0) AS accepted, toInt64(0) AS destroyed
    FROM events
    WHERE hour >= toDateTime(%(since_s)s, 'UTC') AND batch_time < toDateTime(%(until_s)s, 'UTC')
        AND batch_id NOT IN %(unfinished)s
        AND (batch_time < toDateTime(%(settled_s)s, 'UTC') OR (import_id = 0 AND NOT startsWith(toString(batch_id), 'demo-')))
    GROUP BY site_id, day
    UNION ALL
    SELECT
        site_id, toDate(hour) AS day, toInt64(0) AS stored,
        toInt64(sumIf(count, outcome = 'accepted')) AS accepted, toInt64(sumIf(count, outcome = 'destroyed')) AS destroyed
    FROM ledger
    WHERE hour >= toDateTime(%(since_s)s, 'UTC') AND batch_time < toDateTime(%(until_s)s, 'UTC')
        AND outcome IN ('accepted', 'destroyed') AND batch_id NOT IN %(unfinished)s
        AND (batch_time < toDateTime(%(settled_s)s, 'UTC') OR (import_id = 0 AND NOT startsWith(toString(batch_id), 'demo-')))
    GROUP BY site_id, day
)
GROUP BY site_id, day
HAVING rows != hits - gone
ORDER BY site_id, day
LIMIT 100
