"""Chains: several prompts in a row, with conditions, branches and parallel steps, asked for as one model."""
