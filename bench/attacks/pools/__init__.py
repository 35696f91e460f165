"""Suppliers on shared connections, cancelled and cut off."""
