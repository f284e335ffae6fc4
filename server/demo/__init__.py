"""The demo: a site with a made-up year, for looking at Footfall before one's own site has figures.

| module | holds |
|---|---|
| `story` | what happens on which day: seasons, weekdays, campaigns, a viral spike, slow releases, a crawler's visit |
| `rows` | the site in the app database: goals, funnel, annotations, a share link, and how far it is told |
| `fill` | the year in ClickHouse: made there by `queries/demo_events.sql`, a month at a time |

Its rows are like those of hits: realtime, dropped hits and the overview show them as well.
"""
