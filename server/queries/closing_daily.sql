-- The figures of each value ($facts: closing_daily_*.sql) of days that have few enough.
INSERT INTO daily
(
    site_id, dimension, value, value_id, currency, day, version, visitors, more_visits, pageviews, customs, bounces,
    engaged_ms, page_engaged_ms, page_visits, scroll_percent, scrolled_pages, revenue_micros, revenue_events, retention_class
)
SELECT
    site_id, dimension, value, value_id, currency, day, version, visitors, toInt64(visits) - toInt64(visitors), pageviews,
    toInt64(events) - toInt64(pageviews), bounces, engaged_ms, page_engaged_ms, page_visits, scroll_percent, scrolled_pages,
    revenue_micros, revenue_events, kept_as
FROM ($facts)
