-- The last value of each page load and metric, counted by bucket (see `vital_buckets`). A report without a load's id is a
-- load of its own. What a load is grouped and filtered by is what its report says of itself.
SELECT $keys $counts
FROM
(
    SELECT
        roundDown(toUnixTimestamp64Milli(time), $day_starts) AS day_ms,
        if(load_id = 0, (toUInt64(toUnixTimestamp64Milli(time)), visitor_id), (load_id, 0)) AS load,
        metric, argMax(value, (sequence, time)) AS last_value, max(sample_weight) AS weight $values
    FROM events
    ARRAY JOIN mapKeys(metrics) AS metric, mapValues(metrics) AS value
    WHERE site_id = $site_id AND hour >= toDateTime($from_hour_s, 'UTC') AND hour < toDateTime($until_hour_s, 'UTC')
        AND time >= fromUnixTimestamp64Milli($from_ms) AND time < fromUnixTimestamp64Milli($until_ms)
        AND kind IN ('vitals', 'timings') AND metric IN $metrics AND $these_days AND $matching
    GROUP BY day_ms, load, metric
)
$grouped
