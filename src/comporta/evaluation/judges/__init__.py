"""Judges: models that are asked for a verdict in a fixed form, and how far they can be trusted."""
