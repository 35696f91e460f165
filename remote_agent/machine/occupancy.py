"""Whether somebody else uses a GPU of this machine: what is measured beside them is no result."""

import functools
import os
import subprocess
import sys
from typing import Any, Optional

from remote_agent import own_code, processes
from remote_agent.machine import asking, nvml

_ASK_SECONDS = 5.0
_IDLE_GB = 1.0  # a driver keeps some hundred MiB of an idle card for itself
_LINE_CHARACTERS = 200


def gpu_in_use() -> Optional[str]:
    """
    One line on the first card that somebody computes on, None where nobody does.

    NVML may hang on a broken driver, so a child is asked. Where none answers in time the benchmark
    shall show what is wrong.
    """
    child = subprocess.Popen(
        own_code.command(sys.executable, "occupancy"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=functools.partial(processes.die_with, os.getpid()),
    )
    answer = asking.answer_of(child, _ASK_SECONDS) or ""
    line = answer.partition("\n")[0][:_LINE_CHARACTERS]
    return "".join(letter if letter.isprintable() else "?" for letter in line) or None


def occupancy() -> int:
    """The child: prints the line, or nothing. Returns 0."""
    with nvml.opened() as library:
        line = _first_in_use(library) if library else None
    if line:
        print(line, flush=True)
    return 0


def _first_in_use(library: nvml.Nvml) -> Optional[str]:
    for number, handle in (library.cards() or {}).items():
        use = _use(library, handle)
        if use:
            return f"card {number} ({library.name(handle)}): {use}"
    return None


def _use(library: nvml.Nvml, handle: Any) -> Optional[str]:
    """How the card `handle` is used, None where it is idle."""
    computing = library.compute_processes(handle)
    memory = library.memory_in_use_gb(handle)
    # In a container the processes of others are hidden; what they occupy is not.
    hidden = memory is not None and memory > _IDLE_GB and not library.graphics_processes(handle)
    if not computing and not hidden:
        return None
    words = [f"{computing} process" + ("es" if computing != 1 else "")] if computing else []
    words += [f"{memory:.1f} GiB in use"] if memory is not None else []
    return ", ".join(words)
