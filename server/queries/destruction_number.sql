-- How often rows of a site have been destroyed: `bot_reasons` of its lines says by which time.
SELECT max(bot_reasons) AS number
FROM ledger
WHERE site_id = %(site_id)s AND outcome = 'destroyed'
