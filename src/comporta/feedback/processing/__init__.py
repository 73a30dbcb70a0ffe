"""Feedback as a whole: how comments sound, which complaints are alike, trends, versions suddenly worse. Pure."""
