"""Findings: what was found to have changed, as kept, listed, and acted on."""
