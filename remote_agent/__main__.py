"""The agent's command line: `launch`, `clean` and `look` for the orchestrator, flags alone for a person."""

import re
import sys
from typing import Any, Callable, Dict, List, NoReturn

_Kinds = Dict[str, Callable[[str], Any]]


def main() -> None:
    """Runs the command in sys.argv and ends the process with its status."""
    sys.exit(dispatch(sys.argv[1:]))


def dispatch(arguments: List[str]) -> int:
    """
    Runs one command; modules are imported by the command that needs them, so `launch` starts fast.

    Returns the exit status. Raises `SystemExit` on wrong usage.
    """
    if not arguments or arguments[0].startswith("-"):
        from remote_agent.by_hand import by_hand

        return by_hand(arguments)
    command = _COMMANDS.get(arguments[0])
    if command is None:
        _refuse(f"no command {arguments[0]!r}")
    return command(arguments[1:])


def _launch(words: List[str]) -> int:
    from remote_agent.launch import launch

    required = {**_OF_A_RUN, "--offset": _count, "--sha256": _digest}
    said = _values(words, required, {"--spec": _spec_line})
    run_id, epoch, marker, offset, sha256, line = said
    return launch(run_id, epoch, offset, marker, sha256, line or "")


def _clean(words: List[str]) -> int:
    from remote_agent.clean import clean

    return clean(*_values(words, _OF_A_RUN, {"--keep": _digest}))


def _look(words: List[str]) -> int:
    from remote_agent.look import look

    return look(*_values(words, {"--marker": _marker}, {}))


def _supervise(words: List[str]) -> int:
    from remote_agent.supervisor import supervise

    return supervise(*_values(words, {"FOLDER": str}, {}))


def _benchmark(words: List[str]) -> int:
    from remote_agent.benchmark import benchmark

    folder, seq, start = _values(words, {"FOLDER": str}, {"--seq": _count, "--start": float})
    return benchmark(folder, seq or 0, start)


def _sample(words: List[str]) -> int:
    from remote_agent.machine.sampler import sample

    (parent,) = _values(words[:1], {"PARENT": _count}, {})
    return sample(parent, words[1:])


def _occupancy(words: List[str]) -> int:
    from remote_agent.machine.occupancy import occupancy

    return occupancy(*_values(words, {}, {}))


def _one_gpu(words: List[str]) -> int:
    from remote_agent.measure.gpus import one_gpu

    required: _Kinds = {"PARENT": _count, "KIND": str, "OPTIONS": str, "SECONDS": float}
    return one_gpu(*_values(words, required, {}))


def _rank(words: List[str]) -> int:
    from remote_agent.measure.collectives import rank

    return rank(*_values(words, {"PARENT": _count, "NUMBER": _count, "ORDERS": str}, {}))


def _values(words: List[str], required: _Kinds, optional: _Kinds) -> List[Any]:
    """
    What `words` say for each name, `required` ones first, None for an `optional` one that is absent: for a `--name` the word
    behind it, for others the words that are left, in order. argparse takes longer to import than `launch` to answer.
    """
    kinds = {**required, **optional}
    places = [name for name in required if not name.startswith("--")]
    said: Dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        is_name = word in kinds and word.startswith("--")
        name = word if is_name else places.pop(0) if places else ""
        if not name or name in said:
            _refuse(f"unexpected {word!r}")
        try:
            said[name] = kinds[name](next(rest) if is_name else word)
        except (StopIteration, ValueError) as error:
            _refuse(f"{name}: {error or 'a word is missing'}")
    for name in required:
        if name not in said:
            _refuse(f"{name} is missing")
    return [said.get(name) for name in kinds]


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"harborx-agent: {reason}\n")
    sys.exit(2)


def _run_id(text: str) -> str:
    from remote_agent.spec import is_run_id

    if not is_run_id(text):  # it becomes the name of a folder
        raise ValueError("not a UUID")
    return text


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError("not a whole number")
    return int(text)


def _spec_line(text: str) -> str:
    """One line of JSON in URL-safe Base64 without padding, so that it is one word to every shell."""
    from binascii import a2b_base64

    return a2b_base64(text.replace("-", "+").replace("_", "/") + "==").decode("utf-8")


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):  # with anything else no agent would be kept
        raise ValueError("not 64 hex digits")
    return text


def _marker(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{1,64}", text):
        raise ValueError("not hex digits")
    return text


_OF_A_RUN: _Kinds = {"--run": _run_id, "--epoch": _count, "--marker": _marker}
_COMMANDS: Dict[str, Callable[[List[str]], int]] = {
    "launch": _launch,
    "clean": _clean,
    "look": _look,
    "supervise": _supervise,
    "benchmark": _benchmark,
    "sample": _sample,
    "occupancy": _occupancy,
    "one-gpu": _one_gpu,
    "rank": _rank,
}


if __name__ == "__main__":
    main()
