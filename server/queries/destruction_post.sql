-- What a destruction is about to take, as lines of the ledger with the same batches: accepted − destroyed = stored stays
-- true for each of them. One month is one partition, so the lines are there together or not at all. Rows of imports
-- leave together with their lines instead.
INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id)
SELECT site_id, hour, 'destroyed', %(number)s, count(), batch_time, batch_id
FROM events
WHERE site_id = %(site_id)s AND toYYYYMM(hour) = %(month)s AND batch_time <= toDateTime(%(until_s)s, 'UTC')
    AND import_id = 0
GROUP BY site_id, hour, batch_time, batch_id
