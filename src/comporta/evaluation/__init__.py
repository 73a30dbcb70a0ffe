"""Evaluation: what answers are asked to be (assertions), what judges them (scorers, judges), and how sure that is."""
