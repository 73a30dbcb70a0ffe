"""Measures gateways against each other in one run: `python -m gauge`, by way of `make bench`."""
