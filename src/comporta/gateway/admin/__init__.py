"""The admin API: keys, budgets, routes, models and calls under `/admin`, for administrators only.

`app` imports FastAPI, which takes a third of a second: the gate imports it at the first request below `/admin`. What
it is given (`parts`) and this module import nothing heavy.
"""
