"""The agent's command line: `launch`, `clean` and `look` for the orchestrator, flags alone for a person."""

import argparse
import binascii
import re
import sys
from typing import List


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
    args = _parser().parse_args(arguments)
    if args.command == "launch":
        from remote_agent.launch import launch

        return launch(args.run, args.epoch, args.offset, args.marker, args.sha256, args.spec)
    if args.command == "clean":
        from remote_agent.clean import clean

        return clean(args.run, args.epoch, args.marker, args.keep)
    if args.command == "look":
        from remote_agent.look import look

        return look(args.marker)
    if args.command == "supervise":
        from remote_agent.supervisor import supervise

        return supervise(args.folder)
    if args.command == "sample":
        from remote_agent.machine.sampler import sample

        return sample(args.parent, args.bus_ids)
    if args.command == "occupancy":
        from remote_agent.machine.occupancy import occupancy

        return occupancy()
    if args.command == "one-gpu":
        from remote_agent.measure.gpus import one_gpu

        return one_gpu(args.parent, args.kind, args.options, args.seconds)
    if args.command == "rank":
        from remote_agent.measure.collectives import rank

        return rank(args.parent, args.number, args.orders)
    from remote_agent.benchmark import benchmark

    return benchmark(args.folder, args.seq, args.start)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="harborx-agent")
    commands = parser.add_subparsers(dest="command", required=True)
    launch = commands.add_parser("launch", help="start a run or attach to it, and follow it")
    clean = commands.add_parser("clean", help="end a run and remove its folder")
    for command in (launch, clean):
        command.add_argument("--run", type=_run_id, required=True)
        command.add_argument("--epoch", type=_count, required=True)
        command.add_argument("--marker", type=_marker, required=True)
    launch.add_argument("--offset", type=_count, required=True)
    launch.add_argument("--sha256", required=True)
    launch.add_argument("--spec", type=_spec_line, default="")
    clean.add_argument("--keep", type=_digest)
    look = commands.add_parser("look", help="tell what the machine is")
    look.add_argument("--marker", type=_marker, required=True)
    commands.add_parser("supervise", help="internal").add_argument("folder")
    sample = commands.add_parser("sample", help="internal")
    sample.add_argument("parent", type=_count)
    sample.add_argument("bus_ids", nargs="*")
    commands.add_parser("occupancy", help="internal")
    one_gpu = commands.add_parser("one-gpu", help="internal")
    one_gpu.add_argument("parent", type=_count)
    one_gpu.add_argument("kind")
    one_gpu.add_argument("options")
    one_gpu.add_argument("seconds", type=float)
    rank = commands.add_parser("rank", help="internal")
    rank.add_argument("parent", type=_count)
    rank.add_argument("number", type=_count)
    rank.add_argument("orders")
    benchmark = commands.add_parser("benchmark", help="internal")
    benchmark.add_argument("folder")
    benchmark.add_argument("--seq", type=_count, default=0)
    benchmark.add_argument("--start", type=float, default=None)
    return parser


def _run_id(text: str) -> str:
    from remote_agent.spec import is_run_id

    if not is_run_id(text):  # it becomes the name of a folder
        raise argparse.ArgumentTypeError("not a UUID")
    return text


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError("not a whole number")
    return int(text)


def _spec_line(text: str) -> str:
    """One line of JSON in URL-safe Base64 without padding, so that it is one word to every shell."""
    try:
        return binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "==").decode("utf-8")
    except ValueError:
        raise argparse.ArgumentTypeError("not Base64 of UTF-8") from None


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):  # with anything else no agent would be kept
        raise argparse.ArgumentTypeError("not 64 hex digits")
    return text


def _marker(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{1,64}", text):
        raise argparse.ArgumentTypeError("not hex digits")
    return text


if __name__ == "__main__":
    main()
