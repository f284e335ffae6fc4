-- The counts that belong to a part of the demo: one for its rows, and what was kept out in the hours that it begins.
-- days: (start ms, end ms, bots of the day, visits).
INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id)
SELECT
    %(site_id)s, hour, outcome, reasons, hits, toDateTime(%(batch_time_s)s, 'UTC'), %(batch_id)s
FROM
(
    SELECT hour, 'accepted' AS outcome, 0 AS reasons, count() AS hits
    FROM events
    WHERE site_id = %(site_id)s AND batch_id = %(batch_id)s
    GROUP BY hour
    UNION ALL
    SELECT
        toDateTime(intDiv(hour_ms, 1000), 'UTC') AS hour,
        kept_out.1 AS outcome,
        kept_out.2 AS reasons,
        toUInt64(floor(kept_out.3 / 24 * (0.4 + 1.2 * (draw %% 1009) / 1009) + (draw %% 1013) / 1013)) AS hits
    FROM
    (
        SELECT arrayJoin(%(days)s) AS day, arrayJoin(range(toUInt64(day.1), toUInt64(day.2), 3600000)) AS at_ms,
            intDiv(at_ms, 3600000) * 3600000 AS hour_ms, sipHash64(hour_ms, kept_out.1, kept_out.2) AS draw,
            -- Bit masks: a bot's pattern, a known crawler, a program's library, a headless browser, a data centre.
            arrayJoin([
                ('bot', 1, day.3 * 0.34), ('bot', 3, day.3 * 0.41), ('bot', 129, day.3 * 0.12), ('bot', 16, day.3 * 0.05),
                ('bot', 64, day.3 * 0.08), ('prefetch', 0, day.4 * 0.03), ('referrer_spam', 0, day.4 * 0.006),
                ('hostname', 0, day.4 * 0.004), ('rate', 0, if(day.3 > day.4, day.3 * 0.06, 0))]) AS kept_out
    )
    WHERE hour_ms >= %(from_ms)s AND hour_ms < %(until_ms)s
)
WHERE hits > 0
