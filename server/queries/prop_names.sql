-- Names of the custom properties of a site's events.
SELECT name, toInt64(sum(sample_weight)) AS events
FROM events
ARRAY JOIN mapKeys(props) AS name
WHERE site_id = {site_id:UInt32} AND hour >= toDateTime({from_hour_s:Int64}, 'UTC') AND hour < toDateTime({until_hour_s:Int64}, 'UTC')
    AND kind IN ('pageview', 'custom') AND ({text:String} = '' OR positionCaseInsensitiveUTF8(name, {text:String}) > 0)
GROUP BY name
ORDER BY events DESC, name
LIMIT {rows:UInt32}
