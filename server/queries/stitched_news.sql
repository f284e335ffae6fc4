-- What is known of people now (sign 1), and what was known of them before a time (sign -1).
(
    SELECT day_ms, visitor_id, known.1 AS sign, known.2 AS day_rows
    FROM (SELECT day_ms, visitor_id, day_rows AS rows_now, arrayFilter(r -> r.$ms < $cut_ms, rows_now) AS rows_before FROM people)
    ARRAY JOIN
        if(empty(rows_before), [(toInt64(1), rows_now)], [(toInt64(1), rows_now), (toInt64(-1), rows_before)]) AS known
)
