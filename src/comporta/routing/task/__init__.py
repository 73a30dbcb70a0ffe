"""Routing by task: which model answers, by what is asked, what models cost, how fast and how good they are."""
