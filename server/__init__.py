"""Footfall's server: takes hits, keeps them in the spool, stores them in ClickHouse and answers everything else.

`server` imports `rust_ext` and `core_ext`; nothing imports `server` but `jobs`, `dashboards` (through
`server.queries`), `bench` and the tests.
"""

import os

# Otherwise clickhouse-driver builds a table of every date until 2299 when it is imported: a quarter of a second in each
# process, for values that we hardly read. The spelling is the package's.
os.environ.setdefault("CLICKHOUSE_DRIVER_LASY_DATE_LUT", "1")

__version__ = "0.1.0"
