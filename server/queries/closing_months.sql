-- The sums of whole months of some sites, of the versions of their days that readers use ($pairs), as rows of the last date.
INSERT INTO daily
(
    site_id, dimension, value, value_id, currency, day, version, visitors, more_visits, pageviews, customs, bounces, engaged_ms,
    page_engaged_ms, page_visits, scroll_percent, scrolled_pages, revenue_micros, revenue_events, retention_class
)
SELECT
    site_id, dimension, value, value_id, currency, toDate('$last_date'), toUInt64($version), sum(visitors), sum(more_visits),
    sum(pageviews), sum(customs), sum(bounces), sum(engaged_ms), sum(page_engaged_ms), sum(page_visits), sum(scroll_percent),
    sum(scrolled_pages), sum(revenue_micros), sum(revenue_events), if(min(retention_class) = 0, 0, max(retention_class))
FROM daily
WHERE site_id IN $sites AND dimension IN ($dimensions) AND day >= toDate('$first_date') AND day <= toDate('$last_date')
    AND (site_id, version) IN ($pairs)
GROUP BY site_id, dimension, value, value_id, currency
