"""Budgets, and what has been spent of them."""
