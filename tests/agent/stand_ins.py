"""Stand-ins for interpreters, environments and wheels, for the tests of provisioning."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from pathlib import Path

Torch = tuple[str, "str | None", bool] | tuple[str, "str | None", bool, bool, str]

CPU: Torch = ("2.13.0+cpu", None, False)
BLIND: Torch = ("2.13.0", "12.6", False, False, "No CUDA GPUs are available")
UNFIT: Torch = ("2.13.0", "13.0", False, False, "CUDA error: no kernel image is available for")
SEEING: Torch = ("2.13.0", "12.6", True)
ROCM: Torch = ("2.13.0", "7.2", True, True, "")


def python(path: Path, torch: Torch | None, minor: int = 11) -> Path:
    """An interpreter that answers the check as told, and notes each start in `<path>.starts`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rest = (None, None, False, False, "") if torch is None else (*torch, False, "")[:5]
    answer = json.dumps([[3, minor], *rest])
    path.write_text(f"#!/bin/sh\necho >> {path}.starts\necho a banner\necho '@harborx {answer}'\n")
    path.chmod(0o755)
    return path


def starts(path: Path) -> int:
    """How often a stand-in was started."""
    log = Path(f"{path}.starts")
    return len(log.read_text().splitlines()) if log.exists() else 0


def environment(folder: Path, torch: Torch | None, shows: str | None = None) -> Path:
    """A virtual environment's interpreter; with `shows` a torch of that release lies in it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    if shows:
        modules = folder / "lib" / "python3.11" / "site-packages" / "torch"
        modules.mkdir(parents=True)
        (modules / "__init__.py").touch()
        (modules / "version.py").write_text(f"__version__: str = '{shows}'\ncuda = None\n")
    return python(folder / "bin" / "python", torch)


FAKE_TORCH = """
class version:
    cuda = hip = None
class cuda:
    is_available = staticmethod(lambda: False)
__version__ = "2.13.0"
import needed
"""


def wheel(folder: Path, name: str, version: str, files: dict[str, bytes], needs: str = "") -> Path:
    """A wheel of pure Python, as pip installs it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {
        **files, f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": tags.encode(),
    }  # fmt: skip
    record = "".join(
        f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in content.items()
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, data in content.items():
            archive.writestr(inside, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
