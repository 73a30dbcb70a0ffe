"""Drift: whether inputs, answers, costs and scores of now differ from those of a reference window. Pure tests."""
