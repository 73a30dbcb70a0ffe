"""OpenTelemetry: calls as spans and metrics for others, and others' spans as calls here."""
