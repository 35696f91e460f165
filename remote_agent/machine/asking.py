"""Questions to NVML, put to a child: on a broken driver it may hang, and must not hang us with it."""

import subprocess
from typing import Optional

_KILL_SECONDS = 1.0


def answer_of(child: "subprocess.Popen[bytes]", seconds: float) -> Optional[str]:
    """What `child` prints, None where it has not ended after `seconds`; then it is killed."""
    try:
        answer = child.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        _abandon(child)
        return None
    return answer.decode("utf-8", "replace")


def _abandon(child: "subprocess.Popen[bytes]") -> None:
    """Kills `child`; one that is stuck in the kernel is not waited for."""
    child.kill()
    assert child.stdout is not None
    child.stdout.close()
    try:
        child.wait(_KILL_SECONDS)
    except subprocess.TimeoutExpired:
        pass
