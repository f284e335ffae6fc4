-- Tables that keep rows of sites by retention class, and whether they have versions of days or batches.
SELECT table, countIf(name = 'version') AS has_version, countIf(name = 'batch_time') AS has_batch
FROM system.columns
WHERE database = currentDatabase() AND table IN
(
    SELECT name FROM system.tables
    WHERE database = currentDatabase() AND engine LIKE '%%MergeTree' AND name NOT LIKE '%%\\_moving'
)
GROUP BY table
HAVING countIf(name = 'site_id') = 1 AND countIf(name = 'retention_class') = 1
ORDER BY table
