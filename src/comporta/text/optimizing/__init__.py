"""Prompts in fewer tokens that say the same: pure functions over texts and messages."""
