"""The open gate and workshop for LLM applications."""
