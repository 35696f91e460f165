"""Texts that machines might send to whoever reads them on a terminal, in a browser or in a spreadsheet; all by a seed."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from typing import Any, Final

_PIECES: Final = (
    *(
        "\x1b[2J",
        "\x1b[31m",
        "\x1b[?1049h",
        "\x1b[6n",
        "\x1b[5i",
        "\x1b#8",
        "\x1bc",
        "\x1b",
        "\x1b[",
    ),
    *(
        "\x1b]0;title\x07",
        "\x1b]52;c;AAAA\x07",
        "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    ),
    *(
        "\x1bP1$r0m\x1b\\",
        "\x1b_APC\x1b\\",
        "\x1b^PM\x1b\\",
        "\x1bXSOS\x1b\\",
        "\x1b]1337;File=:AA\x07",
    ),
    *("\x1b\x1b[31m[32m", "\x1b]\x1b]0;x\x07\x07", "\x1b[\x1b[2J2J", "\x1b]52;c;\x9d52;c;AA\x9c"),
    *("\x9b31m", "\x9d52;c;AAAA\x9c", "\x90q\x9c", "\x98s\x9c", "\x9f", "\x84", "\x85", "\x8d"),
    *("\x07", "\b\b\b\b", "\x7f", "\r", "\r\n", "\n", "\t", "\x0b", "\x0c", "\x0e", "\x0f", "\x1c"),
    *("\u2028", "\u2029", "\u202a", "\u202e", "\u202d", "\u202c", "\u2066", "\u2067", "\u2069"),
    *("\u200e", "\u200f", "\u061c", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad"),
    *(
        "\u180e",
        "\u206a",
        "\ufff9",
        "\ufffb",
        "\U000e0041",
        "\U000e007f",
        "\U000e0100",
        "\U0001d173",
    ),
    *("[bold red]x[/]", "[link=http://evil.example]x[/link]", ":skull:", "[/]", "\\[", "{style}"),
    *("<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "&#27;", "]]>", "<!--"),
    *(
        "=1+1",
        "@SUM(A1)",
        "+1",
        "-1",
        "=cmd|' /C calc'!A0",
        "\t=1",
        "\uff1d1+1",
        "\uff0b1",
        ",",
        '"',
    ),
    *("NVIDIA H100", "ok", "passed", "What to do: nothing", "@harborx 0 end", "100 %", "日本語"),
    *(
        "e\u0301\u0300\u0302",
        "👩\u200d🔬",
        "Ω",
        "\ufffd",
        "%s%n",
        "$(reboot)",
        "`id`",
        "../..",
        "\\u001b[2J",
    ),
)
_BYTES: Final = (
    *(
        b"\x9b31m",
        b"\xc0\x9b",
        b"\xe0\x80\x9b",
        b"\xc2",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff\xfe",
    ),
    *(
        b"\xc2\x9b31m",
        b"\xe2\x80\xae",
        b"\xe2\x80",
        b"\xf3\xa0\x81\x81",
        b"\x1b[2J",
        b"\x00",
        b"\r",
        b"\x8f",
    ),
)
# Of Unicode's format characters these are seen, and belong to words.
_SEEN: Final = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2") | {
    *("\U000110bd", "\U000110cd"),
    *map(chr, range(0x13430, 0x13440)),
}
_TAGS: Final = re.compile("[\U000e0000-\U000e01ef]")


def text(dice: random.Random, most: int = 12) -> str:
    """A mix of what controls a reader's program and of what does not; never empty."""
    parts = [dice.choice(_PIECES) for _ in range(dice.randint(1, most))]
    if dice.random() < 0.3:
        parts.append("".join(chr(_code(dice)) for _ in range(dice.randint(1, 8))))
    dice.shuffle(parts)
    return "".join(parts)


def storable(dice: random.Random, most: int = 12) -> str:
    """As `text`, but what PostgreSQL can hold."""
    return text(dice, most).replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def line(dice: random.Random) -> bytes:
    """A line that is no event: text, and bytes that are none."""
    parts = [text(dice, 4).encode("utf-8", "surrogatepass"), *dice.choices(_BYTES, k=3)]
    dice.shuffle(parts)
    return b"".join(parts).replace(b"\n", b" ") + b"\n"


def event(dice: random.Random, nonce: str, seq: int) -> tuple[str, bytes]:
    """The type and the line of an event in which every text is `text`; controls raw or in JSON's escapes."""
    kind, body = dice.choice(_EVENTS)(dice)
    said = {"v": 1, "nonce": nonce, "seq": seq, "t": 1.0, "type": kind, **body}
    # Raw surrogates are no UTF-8; written as escapes they reach the decoder.
    told = json.dumps(said, ensure_ascii=dice.random() < 0.6)
    return kind, told.encode("utf-8", "replace") + b"\n"


def controls(shown: str) -> list[str]:
    """
    What of a shown text still controls, turns or hides something. Not the product's own rule but Unicode's: every
    control and separator of lines, every format character that is not seen, and half characters. Newline and tab may stay.
    """
    return [
        each
        for each in shown
        if each not in "\n\t"
        and (
            unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")
            or (unicodedata.category(each) == "Cf" and each not in _SEEN)
            or _TAGS.match(each)
        )
    ]


def texts_in(value: Any, raw: frozenset[str] = frozenset({"raw_results"})) -> list[str]:
    """Every text of a JSON document, names included, but for what lies under a name of `raw`."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [each for item in value for each in texts_in(item, raw)]
    if isinstance(value, dict):
        inside = (texts_in(item, raw) for name, item in value.items() if name not in raw)
        return [*value, *(each for item in inside for each in item)]
    return []


def _code(dice: random.Random) -> int:
    code = dice.choice(
        (dice.randrange(0x300), dice.randrange(0x2000, 0x2100), dice.randrange(0x110000))
    )
    return 0x3F if 0xD800 <= code <= 0xDFFF and dice.random() < 0.5 else code


def _started(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "started", {"agent": text(dice, 5), "python": text(dice, 5), "platform": text(dice, 5)}


def _probe(dice: random.Random) -> tuple[str, dict[str, Any]]:
    words = ("gpu_name", "driver_version", "cuda_version", "cpu_model", "container", "kernel")
    gpu = {"index": 0, "name": text(dice, 4), "uuid": text(dice, 4)}
    return "probe", {**{name: text(dice, 4) for name in words}, "gpu_count": 1, "gpus": [gpu]}


def _provision(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "provision", {"step": "installing", "message": text(dice), "torch": text(dice, 3)}


def _metric(dice: random.Random) -> tuple[str, dict[str, Any]]:
    conditions = {text(dice, 3): text(dice, 3) for _ in range(2)}
    named = {"name": text(dice, 4), "unit": text(dice, 3), "value": dice.choice((1.5, None))}
    return "metric", {**named, "configuration": conditions, "detail": {"error": text(dice, 3)}}


def _sample(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "sample", {"gpu_index": 0, "power_watts": 1.0, "clock_reasons": [text(dice, 3)]}


def _warning(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "warning", {"code": text(dice, 4), "message": text(dice)}


def _failed(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "failed", {"code": text(dice, 4), "message": text(dice), "detail": text(dice)}


_EVENTS: Final = (_started, _probe, _provision, _metric, _sample, _warning, _failed)
