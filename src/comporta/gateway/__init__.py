"""The doors, the list of stages and the upstream step."""
