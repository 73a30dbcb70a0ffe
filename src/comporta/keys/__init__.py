"""Virtual keys: who may ask, and what hangs on them."""
