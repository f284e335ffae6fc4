-- Events that match, counted without their visits: a visitor once a day, and views and events by their weight.
SELECT $names $sums
FROM
(
    SELECT
        $names day_ms, visitor_id,
        max(toInt64(sample_weight)) - $was_there AS visitors,
        sum(toInt64(sample_weight) * (number_of_kind = 1) * is_news) AS pageviews,
        sum(toInt64(sample_weight) * is_news) AS events
    FROM
    (
        SELECT
            $values roundDown(toUnixTimestamp64Milli(time), $day_starts) AS day_ms,
            visitor_id, sample_weight, toInt8(kind) AS number_of_kind, $is_news AS is_news
        FROM events
        $these_visitors
        WHERE site_id = $site_id AND hour >= toDateTime($from_hour_s, 'UTC') AND hour < toDateTime($until_hour_s, 'UTC')
            AND time >= fromUnixTimestamp64Milli($from_ms) AND time < fromUnixTimestamp64Milli($until_ms)
            AND kind IN ('pageview', 'custom') AND $these_days AND $matching
    )
    GROUP BY $names day_ms, visitor_id
) AS f
$grouped
