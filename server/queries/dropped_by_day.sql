-- Answered hits of the whole installation by UTC day and outcome. What was destroyed is no outcome of a hit.
SELECT
    toInt64(toUnixTimestamp(toStartOfDay(hour, 'UTC'))) * 1000 AS day_ms,
    toString(outcome) AS outcome,
    toInt64(sum(count)) AS hits
FROM ledger
WHERE outcome != 'destroyed' AND import_id = 0 AND hour >= toDateTime({from_s:Int64}, 'UTC')
GROUP BY day_ms, outcome
ORDER BY day_ms, outcome
LIMIT 10000
