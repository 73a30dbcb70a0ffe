"""Whether a claim rests on given passages: what both hold, compared, and a small model that weighs it."""
