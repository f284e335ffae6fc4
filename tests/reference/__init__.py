"""Slow, obvious twins of fast code: what the tests compare with."""
