-- The 75th percentile of each vital of many sites over closed days, as a bucket (stored plus one), and its page loads. The
-- level is a binary fraction, so that this is the bucket that `vital_buckets.percentile` finds.
SELECT site_id, $figures
FROM vitals
WHERE site_id IN {site_ids:Array(UInt32)} AND day >= toDate({first:String}) AND day <= toDate({last:String})
    AND (site_id, version) IN $versions
GROUP BY site_id
