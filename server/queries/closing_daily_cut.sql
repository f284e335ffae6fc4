-- The figures of each value ($facts: closing_daily_*.sql) of days that may have too many: the first $most_values of a day and
-- dimension are kept and the others added up. Names are only needed where rows are equal.
INSERT INTO daily
(
    site_id, dimension, value, value_id, currency, day, version, visitors, more_visits, pageviews, customs, bounces,
    engaged_ms, page_engaged_ms, page_visits, scroll_percent, scrolled_pages, revenue_micros, revenue_events, retention_class
)
SELECT
    site_id, dimension, if(place > $most_values, '(other)', value) AS kept_value, if(place > $most_values, 0, value_id) AS kept_id,
    currency, day, version, sum(visitors), toInt64(sum(visits)) - toInt64(sum(visitors)), sum(pageviews),
    toInt64(sum(events)) - toInt64(sum(pageviews)), sum(bounces),
    sum(engaged_ms), sum(page_engaged_ms), sum(page_visits), sum(scroll_percent), sum(scrolled_pages),
    sum(revenue_micros), sum(revenue_events), if(min(kept_as) = 0, 0, max(kept_as))
FROM
(
    SELECT
        f.*,
        row_number() OVER (
            PARTITION BY f.site_id, f.day, f.dimension
            ORDER BY f.visitors DESC, f.pageviews DESC, if(f.value_id > $empty_id, n.name, f.value), f.currency
        ) AS place
    FROM ($facts) AS f
    ANY LEFT JOIN (SELECT site_id, name_id, name FROM names WHERE $of_sites) AS n
        ON n.site_id = f.site_id AND n.name_id = f.value_id
)
GROUP BY site_id, dimension, kept_value, kept_id, currency, day, version
