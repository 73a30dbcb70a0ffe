"""Several models asked the same at once: who is asked, and what is made of their answers; no I/O."""
