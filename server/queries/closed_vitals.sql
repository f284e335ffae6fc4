-- One metric of closed page loads: how many loads have a value in which bucket (stored plus one; 0: none).
SELECT $read
FROM
(
    SELECT $values $metric AS bucket, toInt64(sum(weight)) AS loads
    FROM vitals
    WHERE $where AND $metric > 0 AND $matching
    GROUP BY $names bucket
) AS f
$joins
$grouped
