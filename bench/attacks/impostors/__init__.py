"""Somebody else at the address of a machine, and what they hear of a login."""
