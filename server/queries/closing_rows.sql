-- How many rows of `events` each day of these sites has, how many views and custom events, and with which weights.
SELECT
    site_id, $day AS day, count() AS rows, countIf(kind IN ('pageview', 'custom')) AS counted,
    min(sample_weight) AS least_weight, max(sample_weight) AS most_weight
FROM events
WHERE $where
GROUP BY site_id, day
