"""The HTTP API of figures and of what people set up for a site. What it answers with comes from `server.queries`.

| module | what |
|---|---|
| `stats` | one process's engine, threads, result cache and their limits |
| `remembered` | the result cache: what an answer is known by, and for how long |
| `api_handler` | the base of handlers: errors in one shape, rates, questions that end when nobody waits for them |
| `query` | `POST /api/v2/query`, in the shape of Plausible's Stats API v2 |
| `live` | `/api/stats/realtime`, `/drops`, `/suggestions` |
| `overview` | `/api/sites`: all sites of a login |
| `setup`, `goals`, `funnels`, `segments`, `annotations` | what people set up for a site |
| `exports`, `csv_rows`, `parquet`, `raw_events` | `/api/stats/export` |
| `v1_stats`, `v1_filters` | `/api/v1/stats/…`, Plausible's former API |
| `v1_sites`, `v1_goals`, `v1_guests`, `v1_body`, `cursors` | `/api/v1/sites/…`, Plausible's Sites API |
| `openapi`, `openapi_schemas` | `/api/openapi.json` |
| `routes` | the table |

Errors are `{"error": "<a sentence>"}`, with `limit` besides where a limit was reached.
"""
