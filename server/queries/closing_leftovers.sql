-- Days, and months under their last dates, of which there are several versions.
SELECT site_id, toUInt16(day) AS day_number, groupUniqArray(version) AS versions
FROM closings
GROUP BY site_id, day, version >= %(month_bit)s
HAVING length(versions) > 1
ORDER BY site_id, day_number
LIMIT %(most)s
