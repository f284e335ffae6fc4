"""A long run at 70 % of the maximum with faults on a schedule: nothing is lost or doubled, and nothing grows.

`faults` says what is done to Footfall and its store, and when; `sampling` looks at processes, parts and spool every few
seconds; `flatness` judges whether a series grows; `page` draws it all. The suite is `bench.suites.soak`.
"""
