-- Whether the ledger has what one destruction took in a month.
SELECT 1
FROM ledger
WHERE site_id = %(site_id)s AND toYYYYMM(hour) = %(month)s AND outcome = 'destroyed' AND bot_reasons = %(number)s
LIMIT 1
