-- What a month's new rows ($version) add up to, and the totals of the days that they were made of.
SELECT
    site_id, dimension, count() AS rows, sum(pageviews), sum(events), sum(visits), sum(bounces), sum(engaged_ms)
FROM daily
WHERE site_id IN $sites AND dimension IN ('total', $dimensions) AND day >= toDate('$first_date') AND day <= toDate('$last_date')
    AND (version = $version OR (dimension = 'total' AND (site_id, version) IN ($pairs)))
GROUP BY site_id, dimension
