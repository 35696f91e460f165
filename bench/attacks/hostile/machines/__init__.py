"""SSH servers that misbehave on purpose, a port each, in a process of their own: `python -m bench.attacks.hostile.machines`."""

from bench.attacks.hostile.machines.behaviour import Behaviour
from bench.attacks.hostile.machines.book import BEHAVIOURS

__all__ = ["BEHAVIOURS", "Behaviour"]
