-- Visits of some days of some sites, stitched from their events as `stitched_visits.sql` does it, with everything that is
-- kept of them. First who came when (`people`), cut into visits, with a hash that stands for the attributes of each event;
-- then the attributes of each visit's first event by a join with the few that differ. To carry two dozen attributes of
-- every event through the sorting takes three times as long, to join with all events once and a half, measured. Both
-- joins are by hashes of 64 bits: among a million paths, or the rows of a chunk, two are the same once in ten million
-- closings.
INSERT INTO sessions
(
    site_id, day, version, $attributes, start_hour, visitor_number, weight, is_stray, interacted, repeated_views,
    after_exit, silent_pages, pages.id, pages.views, pages.customs, pages.scroll_percent, engagement.place, engagement.ms,
    engagement.scroll_percent,
    events.name, events.currency, events.count, events.revenue_micros, retention_class
)
WITH
numbered AS
(
    SELECT cityHash64(site_id, name) AS name_hash, name_id FROM names WHERE site_id IN $sites
),
people AS
(
    SELECT
        e.site_id AS site_id, roundDown(toUnixTimestamp64Milli(e.time), $day_starts) AS day_ms, e.visitor_id AS visitor_id,
        max(e.sample_weight) AS visitor_weight, if(min(e.retention_class) = 0, 0, max(e.retention_class)) AS kept_as,
        arraySort(groupArray((
            toUnixTimestamp64Milli(e.time), toInt8(e.kind), e.load_id, e.path, if(e.path = '', $empty_id, n.name_id),
            if(e.kind = 'engagement', e.engaged_ms, 0),
            if(e.kind = 'engagement' AND e.scroll_depth_percent <= 100, toInt16(e.scroll_depth_percent), toInt16(-1)),
            e.interactive, toString(e.event_name), toString(e.revenue_currency), e.revenue_micros, e.attributes_hash))) AS day_rows
    FROM
    (
        SELECT
            site_id, time, visitor_id, sample_weight, retention_class, kind, load_id, path,
            cityHash64(site_id, path) AS path_hash, engaged_ms,
            scroll_depth_percent, interactive, event_name, revenue_currency, revenue_micros, $attributes_hash AS attributes_hash
        FROM events
        WHERE $where AND kind IN ('pageview', 'custom', 'engagement') AND visitor_id % $slices = $slice
    ) AS e
    ANY LEFT JOIN numbered AS n ON n.name_hash = e.path_hash
    GROUP BY site_id, day_ms, visitor_id
),
cut AS
(
    SELECT
        site_id, day_ms, visitor_id, visitor_weight, kept_as, day_rows, day_rows.1 AS times_ms,
        arrayCumSum(
            arrayMap((at, before) -> toUInt32(at - before > 1800000), times_ms, arrayPushFront(arrayPopBack(times_ms), times_ms[1]))
        ) AS pieces,
        arrayFill(n -> n > 0, arrayMap((kind, piece) -> if(kind < 3, piece + 1, 0), day_rows.2, pieces)) AS numbers,
        arraySplit(
            (row, n, before) -> n != before, day_rows, numbers, arrayPushFront(arrayPopBack(numbers), numbers[1])
        ) AS day_visits,
        if(arrayCount(n -> n > 0, arrayDistinct(numbers)) > 1, rowNumberInAllBlocks() * $slices + $slice + 1, 0) AS visitor_number
    FROM people
),
visits AS
(
    SELECT
        site_id, day_ms, visitor_id, visitor_weight, kept_as, visitor_number,
        visit[1].1 AS started_ms, visit[1].2 = 3 AS is_stray, visit[1].12 AS attributes_hash,
        -- Only what is needed of the rows is copied.
        arrayFilter((id, kind) -> kind = 1, visit.5, visit.2) AS viewed,
        arrayFilter((id, kind) -> kind = 2, visit.5, visit.2) AS custom_ids,
        arrayFilter((name, kind) -> kind = 2, visit.9, visit.2) AS custom_names,
        arrayFilter((currency, kind) -> kind = 2, visit.10, visit.2) AS custom_currencies,
        arrayFilter((micros, kind) -> kind = 2, visit.11, visit.2) AS custom_micros,
        -- Pages on which nothing happened stand last.
        arrayDistinct(arrayConcat(viewed, custom_ids, visit.5)) AS ids,
        arrayMap(id -> toUInt32(countEqual(viewed, id)), ids) AS id_views,
        arrayMap(id -> toUInt32(countEqual(custom_ids, id)), ids) AS id_customs,
        toInt32(arrayCount((views, customs) -> views + customs = 0, id_views, id_customs)) AS silent_pages,
        arrayFilter((id, kind) -> kind = 3, visit.5, visit.2) AS engaged_ids,
        arrayFilter((ms, kind) -> kind = 3, visit.6, visit.2) AS engaged_times_ms,
        arrayFilter((percent, kind) -> kind = 3, visit.7, visit.2) AS engaged_depths,
        arrayDistinct(engaged_ids) AS engaged_pages,
        arrayMap(id -> toUInt32(indexOf(ids, id)), engaged_pages) AS places,
        arrayMap(id -> toUInt64(arraySum((at, ms) -> if(at = id, ms, 0), engaged_ids, engaged_times_ms)), engaged_pages) AS place_ms,
        arrayMap(
            id -> arrayMax((at, percent) -> if(at = id, percent, toInt16(-1)), engaged_ids, engaged_depths), engaged_pages
        ) AS place_scroll,
        arrayDistinct(arrayZip(custom_names, custom_currencies)) AS names,
        arrayMap(name -> toUInt32(arrayCount((n, c) -> (n, c) = name, custom_names, custom_currencies)), names) AS name_events,
        arrayMap(
            name -> toInt64(arraySum((n, c, micros) -> if((n, c) = name, micros, 0), custom_names, custom_currencies, custom_micros)), names
        ) AS name_revenue,
        arrayExists((kind, acts) -> kind = 2 AND acts = 1, visit.2, visit.8) AS interacted,
        toInt32(length(viewed)) - toInt32(length(ids)) AS repeated_views,
        if(empty(viewed), 0, length(ids) - indexOf(ids, viewed[-1])) AS after_exit
    FROM cut
    ARRAY JOIN day_visits AS visit
)
SELECT
    v.site_id, $day_of_start AS day, $version AS version, $attribute_values, v.start_hour, v.visitor_number, v.visitor_weight,
    v.is_stray, v.interacted, v.repeated_views, v.after_exit, v.silent_pages,
    v.ids, v.id_views, v.id_customs, v.id_scroll, v.places, v.place_ms, v.place_scroll, v.names.1, v.names.2, v.name_events, v.name_revenue, v.kept_as
FROM
(
    SELECT $attributes_hash AS attributes_hash, $attribute_columns
    FROM events
    WHERE $where AND kind IN ('pageview', 'custom', 'engagement') AND visitor_id % $slices = $slice
    LIMIT 1 BY attributes_hash
) AS e
ALL INNER JOIN
(
    SELECT
        site_id, day_ms, transform(roundDown(started_ms, $hour_starts), $hour_starts, $hour_numbers, 0) AS start_hour,
        visitor_number, visitor_weight, is_stray, interacted, repeated_views, after_exit, silent_pages, ids, id_views, id_customs,
        arrayMap(id -> toUInt8(255), ids) AS id_scroll, places, place_ms,
        arrayMap(percent -> toUInt8(if(percent < 0, 255, percent)), place_scroll) AS place_scroll,
        names, name_events, name_revenue, kept_as, attributes_hash
    FROM visits
) AS v ON v.attributes_hash = e.attributes_hash
