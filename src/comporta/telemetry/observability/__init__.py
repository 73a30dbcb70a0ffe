"""Figures by their names: what each means, how it is read from the sums, and the targets that one may set for it."""
