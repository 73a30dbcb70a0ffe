"""Secrets in texts: keys of providers, passwords, and what else opens a door."""
