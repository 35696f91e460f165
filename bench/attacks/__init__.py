"""Attacks upon the product, a module each; `bench/security.py` plays them and counts what got through."""
