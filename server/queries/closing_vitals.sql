-- The last value of each page load and metric, as its bucket (see `vital_buckets`) plus one; a load is where its first
-- report says. A report without a load's id is a load of its own. `place`: sequence, then time.
-- Paths are found by a hash, as in `closing_sessions.sql`.
INSERT INTO vitals (site_id, day, version, $attributes, page_id, weight, $metrics, retention_class)
SELECT
    l.site_id, $day_of_start AS day, $version AS version, $attribute_names, if(l.path_hash = 0, $empty_id, n.name_id), l.weight,
    $metric_names, l.kept_as
FROM
(
    SELECT
        e.site_id AS site_id, e.day_ms AS day_ms, $attribute_values, argMin(e.path_hash, e.place) AS path_hash,
        max(e.sample_weight) AS weight, $metric_values, if(min(e.retention_class) = 0, 0, max(e.retention_class)) AS kept_as
    FROM
    (
        SELECT
            site_id, roundDown(toUnixTimestamp64Milli(time), $day_starts) AS day_ms, sample_weight, retention_class,
            if(path = '', 0, cityHash64(site_id, path)) AS path_hash,
            if(load_id = 0, toUInt64(toUnixTimestamp64Milli(time)), load_id) AS load, if(load_id = 0, visitor_id, 0) AS whose,
            bitShiftLeft(toUInt64(sequence), 48) + toUInt64(toUnixTimestamp64Milli(time)) AS place,
            mapKeys(metrics) AS keys, $found AS found, $attribute_columns, $metric_columns
        FROM events
        WHERE $where AND kind IN ('vitals', 'timings')
    ) AS e
    GROUP BY site_id, day_ms, e.load, e.whose
) AS l
ANY LEFT JOIN
(
    SELECT cityHash64(site_id, name) AS name_hash, name_id FROM names WHERE $of_sites
) AS n ON n.name_hash = l.path_hash
WHERE $has_metric
