"""The HTTP surface: the three endpoints of the old system, /v1, and live events."""
