-- The first $most values of each of several dimensions, by visitors: what is stored of them, by the names that are shown.
-- Of days there are as many as there are.
SELECT dimension, $shown AS d1, $sums
FROM ($sources) AS s
GROUP BY dimension, d1
HAVING visitors > 0
ORDER BY dimension, visitors DESC, d1
LIMIT $most BY dimension, if(dimension = 'day', d1, '')
