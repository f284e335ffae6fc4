-- Answered hits of a site by day and outcome. The ledger counts by the UTC hour, and an hour belongs to the day in which
-- it starts. What was destroyed is no outcome of a hit.
SELECT
    roundDown(toInt64(toUnixTimestamp(hour)) * 1000, {day_starts:Array(Int64)}) AS day_ms,
    toString(outcome) AS outcome,
    toInt64(sum(count)) AS hits
FROM ledger
WHERE site_id = {site_id:UInt32} AND outcome != 'destroyed' AND import_id = 0
    AND hour >= fromUnixTimestamp64Milli({from_ms:Int64}) AND hour < fromUnixTimestamp64Milli({until_ms:Int64})
GROUP BY day_ms, outcome
ORDER BY day_ms, outcome
