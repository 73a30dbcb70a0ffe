"""Answers given before, given again: the exact cache."""
