"""Scorers: plain async functions that look at an answer and give a verdict, each with its row in the table of kinds."""
