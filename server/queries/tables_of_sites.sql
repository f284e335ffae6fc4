-- Every table that stores rows of sites.
SELECT DISTINCT table
FROM system.columns
WHERE database = currentDatabase() AND name = 'site_id' AND table IN
(
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND engine LIKE '%%MergeTree' AND name NOT LIKE '%%\\_moving'
)
ORDER BY table
