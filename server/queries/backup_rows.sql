-- The rows of a partition, in the order of its parts.
SELECT $columns FROM $table WHERE _partition_id = %(partition_id)s AND $condition
