-- Batches of the last days whose rows and accepted counts differ: lost, doubled or half stored. What was destroyed with
-- its site's figures is accepted no more. Younger ones only than a batch id lives: in either table it goes with a merge.
SELECT batch_id, sum(stored) AS rows, sum(accepted) AS hits
FROM
(
    SELECT toString(batch_id) AS batch_id, toInt64(count()) AS stored, toInt64(0) AS accepted
    FROM events
    WHERE batch_id != '' AND batch_time >= toDateTime(%(batches_since_s)s, 'UTC')
        AND batch_time < toDateTime(%(until_s)s, 'UTC') AND batch_id NOT IN %(unfinished)s
        AND (batch_time < toDateTime(%(settled_s)s, 'UTC') OR (import_id = 0 AND NOT startsWith(toString(batch_id), 'demo-')))
    GROUP BY batch_id
    UNION ALL
    SELECT toString(batch_id) AS batch_id, toInt64(0) AS stored,
        sum(if(outcome = 'destroyed', -toInt64(count), toInt64(count))) AS accepted
    FROM ledger
    WHERE batch_id != '' AND outcome IN ('accepted', 'destroyed') AND batch_time >= toDateTime(%(batches_since_s)s, 'UTC')
        AND batch_time < toDateTime(%(until_s)s, 'UTC')
        AND batch_id NOT IN %(unfinished)s
        AND (batch_time < toDateTime(%(settled_s)s, 'UTC') OR (import_id = 0 AND NOT startsWith(toString(batch_id), 'demo-')))
    GROUP BY batch_id
)
GROUP BY batch_id
HAVING rows != hits
ORDER BY batch_id
LIMIT 20
