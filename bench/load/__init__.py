"""Open-loop load: hits are due at scheduled times whatever the server does, and latency counts from the due time.

`generator` builds and runs the generator, a small Rust program in `generator/`. It is ours because what can be had does
not fit: from one core vegeta sent half of what ours did (7,800 against 14,300 hits a second to nginx, on a busy
machine), oha sends every request with the same headers, and wrk is a closed loop. What is sent is real traffic of
`bench.traffic`, every request different (`requests`). `targets` are the servers; `spending` says what our processes
used; `stored` holds what was answered against the rows.
"""
