-- Rows of each kind, per site. site_ids [0]: all sites.
SELECT site_id, toString(kind) AS kind, count() AS rows, min(time) AS first, max(time) AS last
FROM events
WHERE has(%(site_ids)s, 0) OR has(%(site_ids)s, site_id)
GROUP BY site_id, kind
ORDER BY site_id, kind
