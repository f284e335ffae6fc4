-- Visits of some local days of a site, stitched from its events: the naive twin is tests/reference/sessions.py.
-- A visitor's rows of a day in time order are cut where more than 30 minutes passed between two of them. Views and
-- custom events of one piece are a visit; engagement belongs to the visit before it, wherever it was cut (0: to none).
people AS
(
    SELECT
        roundDown(toUnixTimestamp64Milli(time), $day_starts) AS day_ms,
        visitor_id,
        arraySort(r -> $order, groupArray(tuple($fields))) AS day_rows
    FROM events
    $these_visitors
    WHERE site_id = $site_id AND hour >= toDateTime($from_hour_s, 'UTC') AND hour < toDateTime($until_hour_s, 'UTC')
        AND time >= fromUnixTimestamp64Milli($from_ms) AND time < fromUnixTimestamp64Milli($until_ms)
        AND kind IN ('pageview', 'custom', 'engagement') AND $these_days
    GROUP BY day_ms, visitor_id
),
numbered AS
(
    SELECT
        $keys, day_rows,
        arrayMap(r -> r.$ms, day_rows) AS times_ms,
        arrayCumSum(
            arrayMap((at, before) -> toUInt32(at - before > 1800000), times_ms, arrayPushFront(arrayPopBack(times_ms), times_ms[1]))
        ) AS pieces,
        arrayFill(n -> n > 0, arrayMap((r, piece) -> if(r.$kind < 3, piece + 1, 0), day_rows, pieces)) AS numbers
    FROM $known
),
stitched AS
(
    SELECT
        $keys,
        arrayJoin($numbers_kept AS kept) AS visit_number,
        length(kept) > 1 AS came_again,
        arrayFilter((r, n) -> n = visit_number, day_rows, numbers) AS rows
    FROM numbered
),
visits AS
(
    SELECT
        $keys, visit_number, came_again, rows,
        rows[1].$ms AS started_ms,
        toInt64(rows[1].$weight) AS visit_weight
        $columns
    FROM stitched
)
