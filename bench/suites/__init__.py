"""One module per suite; `python -m bench MODULE` runs its `measure`.

A suite that takes too long for `python -m bench all` says so with a module constant `IN_ALL = False`.
"""
