-- How many events of a part of the demo there are.
SELECT count() AS events
FROM events
WHERE site_id = %(site_id)s AND batch_id = %(batch_id)s
