-- Batches of the last days whose rows and accepted counts differ: lost, doubled or half stored.
SELECT batch_id, sum(stored) AS rows, sum(accepted) AS hits
FROM
(
    SELECT toString(batch_id) AS batch_id, toInt64(count()) AS stored, toInt64(0) AS accepted
    FROM events
    WHERE batch_id != '' AND batch_time < toDateTime(%(until_s)s, 'UTC') AND batch_id NOT IN %(unfinished)s
    GROUP BY batch_id
    UNION ALL
    SELECT toString(batch_id) AS batch_id, toInt64(0) AS stored, toInt64(sum(count)) AS accepted
    FROM ledger
    WHERE batch_id != '' AND outcome = 'accepted' AND batch_time < toDateTime(%(until_s)s, 'UTC')
        AND batch_id NOT IN %(unfinished)s
    GROUP BY batch_id
)
GROUP BY batch_id
HAVING rows != hits
ORDER BY batch_id
LIMIT 20
