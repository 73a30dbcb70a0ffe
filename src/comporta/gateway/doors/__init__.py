"""The wires that clients speak, as pure functions."""
