"""Footfall on one machine with containers. `passwords.py` and `end_to_end.py` are programs that need nothing of ours."""
