"""What hostile machines say, where people and programs read it."""
