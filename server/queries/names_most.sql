-- The highest number of a site's names; 0 when it has none.
SELECT max(name_id)
FROM names
WHERE site_id = {site_id:UInt32}
