-- The last value of each page load and metric, as its bucket (see `vital_buckets`) plus one; a load is where its first
-- report says. A report without a load's id is a load of its own. `place`: sequence, then time.
INSERT INTO vitals (site_id, day, version, $attributes, page_id, weight, $metrics, retention_class)
SELECT
    l.site_id, $day_of_start AS day, $version AS version, $attribute_names, if(l.path = '', $empty_id, n.name_id), l.weight,
    $metric_names, l.kept_as
FROM
(
    SELECT
        e.site_id AS site_id, e.day_ms AS day_ms, $attribute_values, argMin(e.path, e.place) AS path,
        max(e.sample_weight) AS weight, $metric_values, if(min(e.retention_class) = 0, 0, max(e.retention_class)) AS kept_as
    FROM
    (
        SELECT
            site_id, roundDown(toUnixTimestamp64Milli(time), $day_starts) AS day_ms, path, sample_weight, retention_class,
            if(load_id = 0, toUInt64(toUnixTimestamp64Milli(time)), load_id) AS load, if(load_id = 0, visitor_id, 0) AS whose,
            bitShiftLeft(toUInt64(sequence), 48) + toUInt64(toUnixTimestamp64Milli(time)) AS place,
            $attribute_columns, $metric_columns
        FROM events
        WHERE $where AND kind IN ('vitals', 'timings')
    ) AS e
    GROUP BY site_id, day_ms, e.load, e.whose
) AS l
ANY LEFT JOIN (SELECT site_id, name, name_id FROM names WHERE site_id IN $sites) AS n ON n.site_id = l.site_id AND n.name = l.path
WHERE $has_metric
