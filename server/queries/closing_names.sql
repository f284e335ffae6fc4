-- Paths that have no number yet get the next ones, the most frequent first: small numbers are stored in fewer bytes.
-- Known ones are told by a hash, as in `closing_sessions.sql`.
INSERT INTO names (site_id, name_id, name)
SELECT
    found.site_id,
    greatest(known.last_id, $last_fixed_id) + row_number() OVER (PARTITION BY found.site_id ORDER BY found.rows DESC, found.path),
    found.path
FROM
(
    SELECT site_id, path, count() AS rows
    FROM events
    WHERE $where AND path != ''
    GROUP BY site_id, path
    HAVING cityHash64(site_id, path) NOT IN (SELECT cityHash64(site_id, name) FROM names WHERE site_id IN $sites)
) AS found
LEFT JOIN (SELECT site_id, max(name_id) AS last_id FROM names WHERE site_id IN $sites GROUP BY site_id) AS known
    ON known.site_id = found.site_id
