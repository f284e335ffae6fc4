"""Footfall's tests; the folders mirror the source tree."""
