-- The columns of a table that are stored, in its order.
SELECT name, type
FROM system.columns
WHERE database = currentDatabase() AND table = %(table)s AND default_kind IN ('', 'DEFAULT')
ORDER BY position
