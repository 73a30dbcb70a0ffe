"""Prompts: files with a version, read with every mistake placed, rendered with checked values into messages."""
