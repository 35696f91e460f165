"""SSH servers that misbehave, and what they cost whoever is beside them."""
