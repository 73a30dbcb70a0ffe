"""The configuration: YAML, overlays and environment read into one frozen tree, every mistake named with its place."""
