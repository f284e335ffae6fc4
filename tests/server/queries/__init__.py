"""Tests of the questions that are asked of the event store."""
