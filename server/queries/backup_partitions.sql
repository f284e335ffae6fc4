-- Every partition that has rows, of every table that stores any. `fingerprint` is of the columns of its parts: merging
-- several parts changes it, a mutation that changes nothing in a part does not. $parts is system.parts, of one replica per
-- shard.
SELECT
    table, partition_id, toUInt64(sum(rows)),
    lower(hex(sipHash128(arraySort(groupArray((uncompressed_hash_of_compressed_files, rows))))))
FROM $parts
WHERE database = currentDatabase() AND active AND rows > 0 AND table != 'schema_migrations'
GROUP BY table, partition_id
ORDER BY table, partition_id
