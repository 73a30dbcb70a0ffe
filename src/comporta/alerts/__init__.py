"""Alerts: rules over the figures, looked at by one worker at a time, told once for each event."""
