-- Facts of stitched visits, see `facts`: a visit's rows that match, then one tuple for each fact.
WITH
$visits,
gathered AS
(
    SELECT
        $keys, visit_number,
        $matched AS matched, $grouped AS grouped, $paged AS paged, $viewed AS viewed,
        arrayConcat($facts) AS facts
    FROM visits
    WHERE $about_visit
)
SELECT $columns
FROM (SELECT $keys, visit_number, arrayJoin(facts) AS fact FROM gathered)
