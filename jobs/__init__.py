"""What happens by itself at its time: the job table, its runner, and the worker process.

`jobs.schedule` is the table, one module per job stands beside it, `jobs.runner` runs what is due and `jobs.worker` is
the process in which that happens. Jobs reach event data through `server.queries` alone.
"""
