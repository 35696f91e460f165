"""Find a torch that can measure on this machine, or get one."""

from typing import Callable

from remote_agent.failure import Failure
from remote_agent.provision import interpreters
from remote_agent.provision import target as this_machine
from remote_agent.provision.installation import Plan, install
from remote_agent.provision.interpreters import Interpreter
from remote_agent.provision.target import Target
from remote_agent.spec import Provisioning

Tell = Callable[..., None]
"""Takes a step of the event `provision`, a message, and the event's other fields by name."""


def find_torch(orders: Provisioning, device: str, home: str, limit: float, tell: Tell) -> str:
    """
    The path of an interpreter that has torch, installed if need be and allowed.

    `device` is the option of the spec, `limit` the moment (monotonic) to give up at, `home` our
    folder on the machine. Raises `Failure` with one of the provision codes.
    """
    target = this_machine.look()
    wants_gpu = device != "cpu" and target.has_gpu
    tell("searching", "Looking for a Python that has torch.")
    found, looked = interpreters.search(home, wants_gpu)
    if found and (not wants_gpu or not orders.install or _will_do(found, orders, target)):
        blind = (
            f", but it can't use the GPU: {found.problem}" if _is_blind(found, wants_gpu) else ""
        )
        tell("found", f"Found torch{blind or '.'}", interpreter=found.path, torch=found.torch)
        return found.path
    seen = "\n".join(interpreter.path for interpreter in looked)
    if not orders.install:
        raise Failure("provision_failed", "No Python of this machine has torch.", seen)
    if target.rocm and wants_gpu and orders.build == "auto":
        raise Failure(
            "provision_failed",
            "This machine has an AMD GPU and no torch that is built for ROCm. Which one fits is not "
            "known here: install torch for ROCm for a Python of the machine.",
            seen,
        )
    base = interpreters.for_installing(looked, orders, target)
    if base is None:
        raise Failure("provision_failed", "No Python of this machine can be started again.")
    plan = Plan(base, orders, target, wants_gpu)
    made = install(home, plan, limit, tell)
    blind = f", but can't use the GPU: {made.problem}" if _is_blind(made, wants_gpu) else ""
    tell("installed", f"torch is ready{blind or '.'}", interpreter=made.path, torch=made.torch)
    return made.path


def _will_do(found: Interpreter, orders: Provisioning, target: Target) -> bool:
    """Whether a torch is as good as any that could be installed, where a GPU is wanted."""
    if found.sees_gpu or orders.build == "cpu":
        return True
    if target.rocm:
        return orders.build == "auto"  # there is nothing better to be had from here
    # A CPU build on a machine with a GPU would measure the wrong thing, and so would one that lacks
    # the card's code. A machine whose GPU does not work would fail with any build.
    return not found.is_unfit and not found.rocm


def _is_blind(found: Interpreter, wants_gpu: bool) -> bool:
    return wants_gpu and not found.sees_gpu
