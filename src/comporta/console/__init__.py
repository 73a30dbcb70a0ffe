"""The console: the web page for people, a process of its own so that no chart ever slows a call."""
