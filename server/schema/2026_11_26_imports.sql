-- Which import a row came from; 0: a hit. By it an import can be undone whenever, also when batch_id is gone.
ALTER TABLE $events $on_cluster ADD COLUMN IF NOT EXISTS import_id UInt32 CODEC(ZSTD(1));
ALTER TABLE $ledger $on_cluster ADD COLUMN IF NOT EXISTS import_id UInt32;

-- Counts of imports never fold: they leave with their import. 4294967295 is the last second of DateTime.
ALTER TABLE $ledger $on_cluster MODIFY TTL
    if(import_id = 0, batch_time + toIntervalDay(7), toDateTime(4294967295, 'UTC'))
    GROUP BY site_id, hour, outcome, bot_reasons
    SET count = sum(count), batch_time = max(batch_time), batch_id = substring(any(batch_id), 1, 0);

-- form: cluster
ALTER TABLE events $on_cluster ADD COLUMN IF NOT EXISTS import_id UInt32;

-- form: cluster
ALTER TABLE ledger $on_cluster ADD COLUMN IF NOT EXISTS import_id UInt32;
