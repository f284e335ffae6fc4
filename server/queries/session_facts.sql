-- Visits of closed days: picked by what is stored of them, then what matches is computed, then summed by the dimensions.
SELECT $columns
FROM
(
    SELECT *, $computed
    FROM (SELECT $read FROM sessions $first_picked WHERE $picked)
    $joined
)
WHERE $matching
$grouped
