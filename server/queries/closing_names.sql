-- Paths that have no number yet get the next ones, the most frequent first: small numbers are stored in fewer bytes.
-- They are told by a hash, as in `closing_sessions.sql`, before they are counted: most are known.
INSERT INTO names (site_id, name_id, name)
SELECT
    found.site_id,
    greatest(known.last_id, $last_fixed_id) + row_number() OVER (PARTITION BY found.site_id ORDER BY found.rows DESC, found.path),
    found.path
FROM
(
    SELECT any(site_id) AS site_id, any(path) AS path, count() AS rows
    FROM (SELECT site_id, path, cityHash64(site_id, path) AS path_hash FROM events WHERE $where AND path != '')
    WHERE path_hash NOT IN (SELECT cityHash64(site_id, name) FROM names WHERE $of_sites)
    GROUP BY path_hash
) AS found
LEFT JOIN (SELECT site_id, max(name_id) AS last_id FROM names WHERE $of_sites GROUP BY site_id) AS known
    ON known.site_id = found.site_id
