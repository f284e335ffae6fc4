-- Some paths of many sites, by number.
SELECT site_id, name_id, any(name)
FROM names
WHERE site_id IN {site_ids:Array(UInt32)} AND (site_id, name_id) IN $ids
GROUP BY site_id, name_id
