"""Measurements that anyone can repeat: `make bench`, or `make bench ARGS="--only first-byte"`."""
