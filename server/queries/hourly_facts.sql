-- Whole numbers of closed hours; a row for each hour and day.
SELECT $columns
FROM hourly AS h
WHERE $where
