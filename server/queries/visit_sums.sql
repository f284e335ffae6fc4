-- Whole visits, summed by what they are: no event of a visit is told apart from another (else see `visit_facts`). Who came
-- once that day is counted at once; of the others each is counted once a day.
WITH
$visits
SELECT $columns
FROM (SELECT $values $keys, came_again, $measures FROM visits WHERE $about_visit)
$grouped
