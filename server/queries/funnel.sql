-- How far each visitor of a day came through the steps: each by a later event than the one before. The whole day counts,
-- whatever visits its events belong to. Rows are (order, [whether the event reaches step 1, 2, …]).
WITH
$visits,
steps AS
(
    SELECT
        day_ms, visitor_id,
        arrayMax(x -> x.$weight, $matched) AS weight,
        arrayMap(x -> (($order), [$reached]), $matched) AS reached
    FROM visits
    WHERE notEmpty($matched) AND $about_visit
)
SELECT level, toInt64(sum(weight)) AS visitors
FROM
(
    SELECT
        max(weight) AS weight,
        arrayFold(
            (level, step) -> level + toInt64(level < $length AND step.2[level + 1] = 1),
            arraySort(step -> step.1, arrayFlatten(groupArray(reached))),
            toInt64(0)
        ) AS level
    FROM steps
    GROUP BY day_ms, visitor_id
)
GROUP BY level
ORDER BY level
