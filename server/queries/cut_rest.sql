-- What a part of an hour adds to, or takes from, the whole hours before or after it: visits and visitors that began in it,
-- and its events. Of who has none in it, nothing is read.
WITH
$visits,
people_of_day AS
(
    SELECT min(started_ms) AS first_ms, $sums
    FROM (SELECT *, $began AS began FROM visits)
    GROUP BY day_ms, visitor_id
)
SELECT $columns
FROM people_of_day AS p
