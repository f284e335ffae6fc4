-- Who came in the first whole hours of a closed day: who has a visit that began in them. All hits of the day weigh the same.
SELECT $columns
FROM
(
    SELECT toInt64(max(weight) * (countIf(visitor_number = 0) + uniqExactIf(visitor_number, visitor_number > 0))) AS visitors
    FROM sessions
    WHERE $where AND is_stray = 0 AND start_hour < $hours
)
