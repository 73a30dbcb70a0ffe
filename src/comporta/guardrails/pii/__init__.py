"""Personal data in texts: what it looks like, what must be true of it, and which words stand around it."""
