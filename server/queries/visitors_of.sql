-- Visitors of whom an event of some hours fulfils something.
visitor_id IN
(
    SELECT visitor_id
    FROM events
    WHERE site_id = $site_id AND hour >= toDateTime($from_hour_s, 'UTC') AND hour < toDateTime($until_hour_s, 'UTC')
        AND kind IN ('pageview', 'custom', 'engagement') AND $fulfils
)
