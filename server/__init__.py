"""Footfall's server: takes hits, keeps them in the spool, stores them in ClickHouse and answers everything else.

`server` imports `rust_ext` and `core_ext`; nothing imports `server` but `jobs`, `dashboards` (through
`server.queries`), `bench` and the tests.
"""

__version__ = "0.1.0"
