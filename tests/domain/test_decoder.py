"""The decoder of the agent's stdout: whatever a machine sends is decoded, logged or refused."""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.events import MAX_LINE, Decoder, Event, Item, LogLine, Refused, ResultBody

NONCE = "0123456789abcdef0123456789abcdef"
RESULT: dict[str, Any] = {
    "batch_size": 32,
    "num_epochs": 1,
    "image_size": 224,
    "latency_ms": 130.2,
    "loss": 6.2,
    "throughput_samples_per_sec": 245.5,
    "throughput_images_per_sec": 245.5,
    "images": 1024,
    "steps": 32,
    "measured_seconds": 4.17,
    "test_duration_seconds": 20.0,
    "device": "cuda",
    "precision": "tf32",
    "model_source": "builtin",
    "parameters": 25_557_032,
    "torch_version": "2.13.0",
    "gpu_name": "NVIDIA H100 80GB HBM3",
    "gpu_count": 1,
}


def line(seq: int, kind: str = "progress", **fields: Any) -> bytes:
    if kind == "progress":
        fields = {"phase": "measure", "done": seq, "total": 100, **fields}
    head = {"v": 1, "nonce": NONCE, "seq": seq, "t": float(seq), "type": kind}
    return json.dumps({**head, **fields}).encode() + b"\n"


def raw(seq: int, tail: str) -> bytes:
    """A line whose last member is written as is."""
    text = (
        f'{{"v":1,"nonce":"{NONCE}","seq":{seq},"t":1.0,"type":"metric","name":"x","value":{tail}}}'
    )
    return text.encode() + b"\n"


STREAM = b"".join(
    [
        b"Welcome to Ubuntu\n\n",
        line(0),
        b"UserWarning: something \xff\n",
        raw(1, "NaN"),
        line(1),
        b'{"nonce": "of somebody else", "seq": 9}\n',
        b"x" * 60 + b"\r\n",
        line(2, "result", **RESULT),
    ]
)


def decode(*pieces: bytes, decoder: Decoder | None = None) -> list[Item]:
    decoder = decoder or Decoder(NONCE)
    items = [item for piece in pieces for item in decoder.feed(piece)]
    return items + decoder.flush()


def test_cuts_do_not_matter() -> None:
    """Cut in two anywhere, or into single bytes, a stream gives the items of one piece."""
    whole = decode(STREAM)
    assert [type(item).__name__ for item in whole] == [
        *("LogLine", "Event", "LogLine", "Refused", "Event", "LogLine", "LogLine", "Event")
    ]
    assert isinstance(whole[-1], Event)
    assert isinstance(whole[-1].body, ResultBody)
    for cut in range(len(STREAM)):
        assert decode(STREAM[:cut], STREAM[cut:]) == whole
    assert decode(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole


@pytest.mark.parametrize("flushed", [False, True], ids=["dropped", "flushed"])
def test_going_on_from_the_offset_equals_no_interruption(flushed: bool) -> None:
    """A decoder that starts at another's offset and number tells what is missing, nothing twice."""
    whole = decode(STREAM)
    for cut in range(len(STREAM)):
        first = Decoder(NONCE)
        told = first.feed(STREAM[:cut])
        if flushed:
            told += [item for item in first.flush() if isinstance(item, Event)]
        second = Decoder(NONCE, offset=first.offset, next_seq=first.next_seq)
        told += decode(STREAM[first.offset :], decoder=second)
        assert told == whole
        assert second.offset == len(STREAM)


@pytest.mark.parametrize(
    "tail",
    [
        *("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "1" + "0" * 400, "[" * 100_000),
        *("[" * 900, '{"a":' * 20 + "1" + "}" * 20, "[]" * 3000, "1,", "True"),
        *('1,"name":"\\u0000"', '1,"unit":"\\ud800"', '1,"\\udfff":1', '1,"seq":true'),
        '1,"extra":[[[[[[[[[1]]]]]]]]]',
    ],
    ids=lambda tail: tail[:24],
)
def test_what_can_not_be_stored_is_refused(tail: str) -> None:
    """Numbers that are not finite or too large, deep nesting, NUL and lone surrogates are refused lines."""
    data = raw(0, tail)
    if len(data) > MAX_LINE:
        data = data[: MAX_LINE - 1] + b"\n"
    assert [type(item) for item in decode(data, line(0))] == [Refused, Event]


@pytest.mark.parametrize(
    "change",
    [
        *({"v": 2}, {"v": True}, {"seq": 1}, {"seq": -1}, {"seq": "0"}, {"seq": True}, {"t": -1}),
        *({"t": "0"}, {"t": 1e9}, {"type": "unknown"}, {"phase": "lunch"}, {"done": 1.5}),
        *({"done": -1}, {"done": 10**13}, {"images_per_sec": "9"}, {"images_per_sec": 1e8}),
    ],
    ids=str,
)
def test_a_line_that_breaks_the_contract_is_refused(change: dict[str, Any]) -> None:
    """Version, number, time, type and every field are checked strictly; nothing is coerced."""
    good = json.loads(line(0))
    (item,) = decode(json.dumps({**good, **change}).encode() + b"\n")
    assert isinstance(item, Refused)


def test_lines_of_another_nonce_are_log() -> None:
    """Who does not know the run's nonce can't speak for its benchmark, even by naming it elsewhere."""
    other = json.loads(line(0)) | {"nonce": "f" * 32}
    quoting = other | {"message": NONCE}
    items = decode(*(json.dumps(each).encode() + b"\n" for each in (other, quoting)), line(0))
    assert [type(item) for item in items] == [LogLine, LogLine, Event]


def test_nothing_follows_the_last_event() -> None:
    """After `result` or `failed` any further event is refused."""
    ending = line(0, "failed", code="gpu_missing", message="none")
    items = decode(ending, line(1), line(2, "result", **RESULT))
    assert [type(item) for item in items] == [Event, Refused, Refused]


def test_a_line_may_have_64_kib_and_no_byte_more() -> None:
    """The longest line allowed is decoded; one byte more is refused once, with or without its newline."""
    frame = len(raw(0, '1,"pad":""')) - 1
    longest = raw(0, f'1,"pad":"{"x" * (MAX_LINE - frame)}"')
    assert len(longest) == MAX_LINE + 1
    assert [type(item) for item in decode(longest)] == [Event]
    over = b" " + longest
    for stream in (over, over[:-1], b"y" * 300_000 + b"\n", b"y" * 300_000):
        refused, *more = decode(stream)
        assert isinstance(refused, Refused)
        assert "64 KiB" in refused.reason
        assert more == []
    assert [type(item) for item in decode(over, line(0))] == [Refused, Event]


def test_a_torn_last_line() -> None:
    """An event cut by a crash is refused, a whole one without newline counts, other text is log."""
    torn, whole = line(0)[:-9], line(0)[:-1]
    assert [type(item) for item in decode(torn)] == [Refused]
    assert [type(item) for item in decode(whole)] == [Event]
    assert [type(item) for item in decode(b"Segmentation fault")] == [LogLine]
    assert decode(b"") == decode(b"  ") == []


@pytest.mark.parametrize("flood", [b"\x00" * 65_536, b"[" * 65_536, b"\x9d\xc2\x9d" * 21_000])
def test_a_flood_without_newline_does_not_grow_memory(flood: bytes) -> None:
    """Megabytes without a newline leave a few lines' worth in memory."""
    decoder = Decoder(NONCE)
    tracemalloc.start()
    try:
        items = [item for _ in range(100) for item in decoder.feed(flood)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert items == []
    assert peak < 4 * MAX_LINE
    (refused,) = decoder.flush()
    assert isinstance(refused, Refused)
    assert sys.getsizeof(refused.excerpt) < 20_000


def test_excerpts_are_safe_to_show() -> None:
    """What is kept of a refused or log line holds no control characters and is bounded."""
    for item in decode(b"\x1b]52;c;ZWNobw==\x07" + b"\x9b" * 40_000 + b"\n", raw(0, '"\x1b[31m"')):
        assert isinstance(item, LogLine | Refused)
        text = item.text if isinstance(item, LogLine) else item.excerpt
        assert "\x1b" not in text
        assert len(text) <= 2048


_PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"\n", line(0), line(1), line(0)[:-2], STREAM[:90], raw(0, "1e999")]),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(_PIECES, max_size=6))
def test_arbitrary_bytes_never_raise(pieces: list[bytes]) -> None:
    """Any bytes whatever give items; cut as they come or in one piece, the same."""
    assert decode(*pieces) == decode(b"".join(pieces))


@pytest.mark.parametrize(
    "body",
    [
        {"type": "telemetry", "packed": "A"},
        {"type": "telemetry", "packed": "A A="},
        {"type": "telemetry", "packed": "QUJD", "gpu_index": 64},
        {
            "type": "metric",
            "name": "x",
            "configuration": {f"k{n}": "\u65e5" * 200 for n in range(40)},
        },
        {"type": "metric", "name": "x", "detail": {f"k{n}": n for n in range(41)}},
        {"type": "metric", "name": "x", "detail": {"nested": {"a": 1}}},
        {"type": "metric", "name": "x", "configuration_hash": "0" * 15},
    ],
)
def test_what_the_database_would_refuse_is_refused_at_the_line(body: dict[str, Any]) -> None:
    """Base64 that is none, conditions over 8 KiB or nested, GPUs beyond the 64th: evidence, never a fault of ours."""
    whole = {"gpu_index": 0, "interval_seconds": 0.1, "readings": 1, "columns": [], **body}
    if body["type"] == "metric":
        whole = body
    (item,) = decode(line(0, **whole))
    assert isinstance(item, Refused), item


def test_readings_and_figures_within_the_bounds_are_events() -> None:
    """What the one above refuses differs from these by one thing each."""
    readings = {
        "gpu_index": 63,
        "interval_seconds": 0.1,
        "readings": 1,
        "columns": [],
        "packed": "QUJD",
    }
    conditions = {f"k{n}": "x" * 100 for n in range(40)}
    items = decode(
        line(0, "telemetry", **readings),
        line(1, "metric", name="x", configuration=conditions, configuration_hash="0" * 16),
    )
    assert all(isinstance(item, Event) for item in items), items
