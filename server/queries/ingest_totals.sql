-- How many hits of each outcome were answered in a time, all sites together. Imports and destruction are no hits.
SELECT toString(outcome) AS label, toInt64(sum(count)) AS hits
FROM ledger
WHERE hour >= toDateTime({from_s:Int64}, 'UTC') AND hour < toDateTime({until_s:Int64}, 'UTC')
    AND outcome != 'destroyed' AND import_id = 0
GROUP BY label
ORDER BY hits DESC, label
