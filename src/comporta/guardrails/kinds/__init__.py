"""The kinds of guards: a module each, with its rows."""
