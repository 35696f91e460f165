"""Attacks upon the product, a module or a package each; `bench/security.py` plays them and counts what got through."""
