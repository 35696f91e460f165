"""Forged credentials of every kind, sent to a whole API."""
