"""Answers found by what their questions mean, and how often that may be wrong."""
