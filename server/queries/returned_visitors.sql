-- Visitors of whom there is anything from a time on.
visitor_id IN
(
    SELECT visitor_id
    FROM events
    WHERE site_id = $site_id AND hour >= toDateTime($from_hour_s, 'UTC') AND hour < toDateTime($until_hour_s, 'UTC')
        AND time >= fromUnixTimestamp64Milli($from_ms) AND time < fromUnixTimestamp64Milli($until_ms)
        AND kind IN ('pageview', 'custom', 'engagement')
)
