"""Configurations of other gateways turned into ours; what has no counterpart is told, with its line and why."""
