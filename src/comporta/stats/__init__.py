"""Intervals and tests: pure functions, which say what numbers prove and what they don't."""
