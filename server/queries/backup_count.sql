-- How many rows a partition has.
SELECT count() FROM $table WHERE _partition_id = %(partition_id)s
