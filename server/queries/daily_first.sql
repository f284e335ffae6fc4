-- The first $limit values by $most of a dimension whose values are numbers, and those equal to the last of them. An array has
-- a place for each number below $below, and so needs no table of groups, which is most of the time that a long list takes.
SELECT toUInt32(place - 1) AS id, $columns
FROM
(
    SELECT
        $sums,
        arrayPartialReverseSort($limit, sums_$most)[$limit] + throwIf(max(value_id) >= $below, 'names were added') AS least
    FROM daily
    WHERE $where
)
ARRAY JOIN $places, arrayEnumerate(sums_$most) AS place
WHERE place_$most >= least AND place_visitors > 0
