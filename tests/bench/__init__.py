"""Tests of the benchmark harness, the traffic generator and the peers."""
