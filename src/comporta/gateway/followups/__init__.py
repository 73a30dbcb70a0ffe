"""Follow-ups of the Responses door: back to where the earlier answer came from, or on from what is kept of it."""
