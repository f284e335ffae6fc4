-- Every table there is, with how many rows it stores; those that only stand for other tables first.
SELECT name, toUInt64(ifNull(total_rows, 0)), engine LIKE '%%MergeTree' AS stores
FROM system.tables
WHERE database = currentDatabase() AND NOT is_temporary
ORDER BY stores, name
