-- Whether a partition has rows of batches after a second.
SELECT count() FROM $table WHERE _partition_id = %(partition_id)s AND batch_time > toDateTime(%(cut_s)s, 'UTC')
