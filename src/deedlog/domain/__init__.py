"""Aggregates: where decisions are made. Plain Python: no await, no clock, no SQL."""
