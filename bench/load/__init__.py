"""Open-loop load: hits are due at scheduled times whatever the server does, and latency counts from the due time.

`generator` builds and runs the generator, a small Rust program in `generator/`. It is ours because what can be had does
not fit: vegeta needs some 60 µs of CPU for a hit, k6 more; oha sends every request with the same headers, and wrk is a
closed loop. What is sent is real traffic of `bench.traffic`, every request different (`requests`). `spending` says what
our processes used; `stored` holds what was answered against the rows.
"""
