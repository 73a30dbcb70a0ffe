"""Ensembles running: members asked at the same time as calls on behalf of one, and one answer made of theirs.

An ensemble stands where a provider would, as chains do: so weights, stickiness, rollouts, fallback, guards and records
hold for it as for any variant, and its members, being calls, have credentials, retries, breakers, limits and records of
their own. The stage `attempt` would have had to write all of that a second time.
"""
