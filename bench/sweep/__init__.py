"""Which batch settings suit this machine and this ClickHouse.

Not every combination: that would take hours. Two grids instead, along the two questions that the settings answer.

1. *How large a batch?* Segments of real hits of each size, waiting in a spool, flushed by each number of threads
   (`backlog`). A segment is sealed by rows or bytes, whichever comes first, so both are one axis: its bytes are the
   rows times what a record takes.
2. *How long may a hit wait?* A whole Footfall under an open-loop load, for each age and each durability, with the batch
   of the first grid (`live`).

`knee` finds the smallest value that is nearly as good as the best; `configmap` writes it down as a ConfigMap; `page`
draws both grids. The suite is `bench.suites.sweep`.
"""
