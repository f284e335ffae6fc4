-- The sums of every source, added up, ordered and cut to a page.
SELECT $columns
FROM ($sources) AS f
$grouped
$having
$ordered
$limited
