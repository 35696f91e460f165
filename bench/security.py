"""
Attacks the product in every way that the threat table names, and counts what got through: `make security`.

A line of JSON for each attack as it ends, and one last line of what must be 0; the exit status is 0 only if it is and no
bound was exceeded. `make security ARGS="--only tokens,impostors --seed 7 --share 0.1"` plays a part of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Final

from bench.attacks.ground import Ground, ground
from bench.attacks.record import Play, Played


@dataclass(frozen=True)
class Attack:
    """Where its `play` is in bench/attacks, how many there are in the full form, and of what."""

    module: str
    count: int
    told: str


ATTACKS: Final = {  # in this order
    "tenancy": Attack("tenancy.attack", 1, "the matrix of every table, verb, role and tenant"),
    "pools": Attack("pools.attack", 100_000, "operations of 50 tenants on two connections"),
    "tokens": Attack("tokens.attack", 10_000, "forged credentials"),
    "canaries": Attack(
        "canaries.attack", 1, "a whole installation's life, searched for its secrets"
    ),
    "rotation": Attack("rotation", 10_000, "secrets rotated under load, and swapped"),
    "impostors": Attack("impostors.attack", 1_000, "connections to another host key"),
    "addresses": Attack(
        "addresses.attack", 500, "spellings of forbidden addresses, and a rebinding resolver"
    ),
    "hostile": Attack("hostile.attack", 25, "rounds of hostile SSH servers"),
    "repeats": Attack("http.repeats", 200, "posts at once with one Idempotency-Key"),
    "fuzzed_http": Attack("http.fuzzed", 20_000, "requests drawn from the OpenAPI document"),
    "shown": Attack("shown.attack", 20_000, "outputs of hostile machines"),
}
_ALWAYS_TOLD: Final = ("leaks", "forged", "packets", "auth_bytes", "5xx")
_MOST_TOLD: Final = 20  # sentences of an attack; the counts are whole
_VERSIONS: Final = ("asyncssh", "fastapi", "psycopg", "schemathesis", "cryptography")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    options = _parsed(arguments)
    names = options.only
    print(json.dumps({"seed": options.seed, **_machine()}), flush=True)
    ended: dict[str, Played] = {}
    with ground() as place:
        for name in names:
            count = max(1, round(ATTACKS[name].count * options.share))
            ended[name] = _one(name, place, count, options.seed)
    print(last_line(ended, options.seed), flush=True)
    return 0 if all(played.held for played in ended.values()) else 1


def last_line(ended: dict[str, Played], seed: int) -> str:
    """What was attempted by name, and the sums of what must be 0."""
    zero = dict.fromkeys(_ALWAYS_TOLD, 0)
    for played in ended.values():
        for name, count in played.must_be_zero.items():
            zero[name] = zero.get(name, 0) + count
    attempted = {name: played.attempted for name, played in ended.items()}
    missed = {"missed": sum(len(played.missed) for played in ended.values())}
    told = " ".join(f"{name}={n}" for name, n in {**attempted, **zero, **missed}.items())
    return f"security: seed={seed} {told}"


def _one(name: str, place: Ground, count: int, seed: int) -> Played:
    began = time.monotonic()
    play: Play = import_module(f"bench.attacks.{ATTACKS[name].module}").play
    print(f"security: {name}: {ATTACKS[name].told} ({count})", file=sys.stderr, flush=True)
    played = asyncio.run(play(place, count, seed))
    told = {
        "attack": name,
        "attempted": played.attempted,
        **played.must_be_zero,
        "missed": len(played.missed),
        "figures": dict(played.figures),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(told, default=str), flush=True)
    for sentence in (*played.sentences, *played.missed)[:_MOST_TOLD]:
        print(f"security: {name}: {sentence}", file=sys.stderr, flush=True)
    return played


def _machine() -> dict[str, str]:
    machine = f"{platform.machine()} {platform.release()}, Python {platform.python_version()}"
    return {"machine": machine, **{name: version(name) for name in _VERSIONS}}


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="security", description=__doc__)
    parser.add_argument("--only", type=_names, default=list(ATTACKS), help="comma-separated names")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--share", type=float, default=1.0, help="of each attack's full count")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - set(ATTACKS))
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"no attack {unknown}; there are {', '.join(ATTACKS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
