"""What must not go in, and what must not come out: guards, the policies that name them, and their stage."""
