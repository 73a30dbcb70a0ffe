"""From variant A to variant B in steps, and back by itself when B does harm."""
