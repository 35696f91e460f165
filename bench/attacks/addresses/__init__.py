"""Forbidden addresses in every spelling, and names that change between looks."""
