-- The rows of a site as they are stored, in the order in which they are stored: nothing is sorted, so nothing is held.
SELECT
    toUnixTimestamp64Milli(time), toString(kind), visitor_id, load_id, event_name, hostname, path, referrer_source,
    referrer, toString(channel), utm_source, utm_medium, utm_campaign, utm_term, utm_content, click_id, country,
    language, timezone, browser, browser_version, os, os_version, toString(device), screen_width_px,
    screen_height_px, engaged_ms, scroll_depth_percent, interactive, sequence, revenue_micros, revenue_currency,
    toJSONString(props), toJSONString(metrics), sample_weight, import_id
FROM events
WHERE site_id = {site_id:UInt32}
    AND hour >= toDateTime({from_hour_s:Int64}, 'UTC') AND hour < toDateTime({until_hour_s:Int64}, 'UTC')
    AND time >= fromUnixTimestamp64Milli({from_ms:Int64}) AND time < fromUnixTimestamp64Milli({until_ms:Int64})
ORDER BY site_id, hour, visitor_id, time
