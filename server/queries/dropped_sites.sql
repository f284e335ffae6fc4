-- The sites with the most dropped hits since a time, with their reasons.
SELECT
    site_id,
    toInt64(sum(count)) AS hits,
    topKWeighted(3)(toString(outcome), count) AS reasons
FROM ledger
WHERE outcome NOT IN ('destroyed', 'accepted') AND import_id = 0 AND hour >= toDateTime({from_s:Int64}, 'UTC')
GROUP BY site_id
ORDER BY hits DESC, site_id
LIMIT 20
