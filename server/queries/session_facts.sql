-- Visits of closed days: picked by what is stored of them, then what matches is computed, then summed by the dimensions.
SELECT $columns
FROM
(
    SELECT *, $computed
    FROM
    (
        SELECT
            *, views, customs, bounced, visit_engaged_ms, page_engaged_ms, page_scroll_percent, entry_id, exit_id,
            arrayMap(i -> toUInt8($page_fits), pages.id) AS fits
        FROM sessions
        WHERE $picked
    )
    $joined
)
WHERE $matching
$grouped
