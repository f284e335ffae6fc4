-- The first whole hours of a closed day, summed: visits by when they began, views and events by when they happened.
SELECT $columns
FROM hourly AS h
WHERE $where AND starts_at < toDateTime($until_s, 'UTC')
