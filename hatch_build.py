"""Builds the dashboard into the package, with a Node that comes as a wheel; skipped where it is built already."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_STAMP = "sources.sha256"


class DashboardHook(BuildHookInterface):
    """hatchling's custom build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source, built = Path(self.root, "dashboard"), Path(self.root, "orchestrator/api/static")
        digest = _digest(source)
        stamp = built / _STAMP
        if stamp.exists() and stamp.read_text("ascii") == digest:
            return
        npm = _npm(source)
        for arguments in (("ci",), ("run", "build")):
            if npm(*arguments) != 0:
                raise RuntimeError(
                    f"The dashboard was not built: npm {' '.join(arguments)} failed."
                )
        stamp.write_text(digest, "ascii")


def _digest(source: Path) -> str:
    """SHA-256 over names and contents of what the build reads."""
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file() and not {"node_modules", "__pycache__"} & set(path.parts):
            digest.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _npm(source: Path) -> Any:
    spec = importlib.util.spec_from_file_location("dashboard_npm", source / "npm.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("dashboard/npm.py is missing.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.npm
