"""Records of calls and spans, rollups, metrics, logs."""
