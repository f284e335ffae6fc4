"""Tests of the job table, its runner and the worker process."""
