"""Texts as vectors, on this machine, without torch."""
