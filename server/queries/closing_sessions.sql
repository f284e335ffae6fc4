-- Visits of some days of some sites, stitched from their events as `stitched_visits.sql` does it, with everything that is
-- kept of them. First who came when (`people`): an event is one number of 128 bits, so that a visitor's events are
-- gathered and sorted as numbers, which takes half as long as tuples with texts in them:
--
-- | bits | 28 | 2 | 26 | 32 | 32 | 7 | 1 |
-- |---|---|---|---|---|---|---|---|
-- | what | ms of the day | kind | rank (see `stitching`) | page | engaged ms | scroll depth, 127 for none | interactive |
--
-- Then these are cut into visits, and each visit gets the attributes of its first event by a join with all events, by a
-- hash of the visitor and the upper 56 bits (`key`). What is kept of a visit is made of its numbers afterwards: joined as
-- finished columns it takes a third more. To carry two dozen attributes of every event through the sorting takes three
-- times as long, to join with the attributes that differ, by a hash of them all, as long again, all measured. Joins are by
-- hashes of 64 bits: among a million paths, or the visits of a chunk, two are the same once in ten million closings.
INSERT INTO sessions
(
    site_id, day, version, $attributes, start_hour, visitor_number, weight, is_stray, interacted, repeated_views,
    after_exit, silent_pages, pages.id, pages.views, pages.customs, pages.scroll_percent, engagement.place, engagement.ms,
    engagement.scroll_percent,
    events.name, events.currency, events.count, events.revenue_micros, retention_class
)
WITH
people AS
(
    SELECT
        e.site_day AS site_day, e.visitor_id AS visitor_id,
        max(e.sample_weight) AS visitor_weight, if(min(e.retention_class) = 0, 0, max(e.retention_class)) AS kept_as,
        arraySort(groupArray(
            bitShiftLeft(toUInt128(e.place), 72)
            + bitShiftLeft(toUInt128(bitShiftLeft(toUInt64(if(e.path = '', $empty_id, n.name_id)), 32) + e.engaged_ms), 8)
            + e.scroll_percent * 2 + e.interactive)) AS day_rows,
        arraySort(groupArrayIf(
            (e.place, toString(e.event_name), toString(e.revenue_currency), e.revenue_micros), e.kind = 'custom')) AS day_customs
    FROM
    (
        SELECT
            $site_day AS site_day, visitor_id, sample_weight, retention_class, kind, $place AS place, path,
            cityHash64(path) + intHash64(site_id) AS path_hash, if(kind = 'engagement', events.engaged_ms, 0) AS engaged_ms,
            if(kind = 'engagement' AND scroll_depth_percent <= 100, scroll_depth_percent, 127) AS scroll_percent,
            interactive, event_name, revenue_currency, revenue_micros
        FROM events
        WHERE $where AND kind IN ('pageview', 'custom', 'engagement')$these_visitors
    ) AS e
    ANY LEFT JOIN
    (
        SELECT cityHash64(name) + intHash64(site_id) AS name_hash, name_id FROM names WHERE $of_sites
    ) AS n ON n.name_hash = e.path_hash
    GROUP BY site_day, visitor_id
),
cut AS
(
    SELECT
        site_day, visitor_id, visitor_weight, kept_as, day_rows, day_customs,
        arrayCumSum(
            arrayMap(passed_ms -> toUInt32(passed_ms > 1800000), arrayDifference(arrayMap(r -> toUInt32(bitShiftRight(r, 100)), day_rows)))
        ) AS pieces,
        arrayFill(n -> n > 0, arrayMap((r, piece) -> if($kind < 3, piece + 1, 0), day_rows, pieces)) AS numbers,
        arraySplit((r, n) -> n != 0, day_rows, arrayDifference(numbers)) AS day_visits,
        if(arrayCount(n -> n > 0, arrayDistinct(numbers)) > 1, rowNumberInAllBlocks() * $slices + $slice + 1, 0) AS visitor_number
    FROM people
),
begun AS
(
    SELECT e.*, v.site_day AS site_day, v.visitor_weight AS visitor_weight, v.kept_as AS kept_as,
        v.visitor_number AS visitor_number, v.visit AS visit, v.day_customs AS day_customs
    FROM
    (
        SELECT $key AS key, $attribute_columns
        FROM
        (
            SELECT *, $site_day AS site_day, $place AS place
            FROM events
            WHERE $where AND kind IN ('pageview', 'custom', 'engagement')$these_visitors
        )
    ) AS e
    ALL INNER JOIN
    (
        SELECT
            site_day, visitor_weight, kept_as, visitor_number, visit, day_customs,
            toUInt64(bitShiftRight(visit[1], 72)) AS place, $key AS key
        FROM cut
        ARRAY JOIN day_visits AS visit
    ) AS v ON v.key = e.key
    -- The same event may be there twice.
    LIMIT 1 BY e.key
),
visits AS
(
    SELECT
        *,
        toUInt32(bitShiftRight(site_day, 32)) AS site_id, toInt64(bitAnd(site_day, 4294967295)) * 1000 AS day_ms,
        day_ms + toInt64(bitShiftRight(visit[1], 100)) AS started_ms,
        arrayMap(r -> $kind, visit) AS kinds, arrayMap(r -> $page_id, visit) AS page_ids, kinds[1] = 3 AS is_stray,
        -- Only what is needed of the rows is copied.
        arrayFilter((id, kind) -> kind = 1, page_ids, kinds) AS viewed,
        arrayFilter((id, kind) -> kind = 2, page_ids, kinds) AS custom_ids,
        -- Pages on which nothing happened stand last.
        arrayDistinct(arrayConcat(viewed, custom_ids, page_ids)) AS ids,
        arrayMap(id -> toUInt32(countEqual(viewed, id)), ids) AS id_views,
        arrayMap(id -> toUInt32(countEqual(custom_ids, id)), ids) AS id_customs,
        toInt32(arrayCount((views, customs) -> views + customs = 0, id_views, id_customs)) AS silent_pages,
        arrayFilter((r, kind) -> kind = 3, visit, kinds) AS engaged,
        arrayMap(r -> $page_id, engaged) AS engaged_ids,
        arrayMap(r -> toUInt32(bitShiftRight(r, 8)), engaged) AS engaged_times_ms,
        arrayMap(r -> bitAnd(toUInt8(bitShiftRight(r, 1)), 127), engaged) AS engaged_depths,
        arrayDistinct(engaged_ids) AS engaged_pages,
        arrayMap(id -> toUInt32(indexOf(ids, id)), engaged_pages) AS places,
        arrayMap(id -> toUInt64(arraySum((at, ms) -> if(at = id, ms, 0), engaged_ids, engaged_times_ms)), engaged_pages) AS place_ms,
        arrayMap(
            id -> arrayMax((at, percent) -> if(at = id AND percent < 127, toInt16(percent), toInt16(-1)), engaged_ids, engaged_depths),
            engaged_pages
        ) AS place_scroll,
        arrayFilter(
            c -> c.1 >= toUInt64(bitShiftRight(visit[1], 72)) AND c.1 <= toUInt64(bitShiftRight(visit[-1], 72)), day_customs
        ) AS customs,
        arrayDistinct(arrayMap(c -> (c.2, c.3), customs)) AS names,
        arrayMap(name -> toUInt32(arrayCount(c -> (c.2, c.3) = name, customs)), names) AS name_events,
        arrayMap(name -> toInt64(arraySum(c -> if((c.2, c.3) = name, c.4, 0), customs)), names) AS name_revenue,
        arrayExists((r, kind) -> kind = 2 AND bitAnd(r, 1) = 1, visit, kinds) AS interacted,
        toInt32(length(viewed)) - toInt32(length(ids)) AS repeated_views,
        if(empty(viewed), 0, length(ids) - indexOf(ids, viewed[-1])) AS after_exit
    FROM begun
)
SELECT
    site_id, $day_of_start AS day, $version AS version, $attribute_values,
    transform(roundDown(started_ms, $hour_starts), $hour_starts, $hour_numbers, 0) AS start_hour, visitor_number, visitor_weight,
    is_stray, interacted, repeated_views, after_exit, silent_pages, ids, id_views, id_customs, arrayMap(id -> toUInt8(255), ids),
    places, place_ms, arrayMap(percent -> toUInt8(if(percent < 0, 255, percent)), place_scroll),
    names.1, names.2, name_events, name_revenue, kept_as
FROM visits
