"""One module per suite; `python -m bench MODULE` runs its `measure`."""
