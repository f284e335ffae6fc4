"""Backups: formats, places, the two stores, and the commands."""
