"""From the name a client asks for to the variant that answers."""
