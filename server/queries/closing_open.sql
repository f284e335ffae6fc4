-- Sites that have many rows lately.
SELECT site_id
FROM events
WHERE hour >= toDateTime(%(since_s)s, 'UTC')
GROUP BY site_id
HAVING count() >= %(least)s
ORDER BY site_id
