"""A whole installation's life, searched for its secrets."""
