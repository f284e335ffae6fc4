-- What each of these days comes to, by the version of its rows.
SELECT version, $sums
FROM daily
WHERE $where
GROUP BY version
