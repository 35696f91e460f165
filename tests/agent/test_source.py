"""What holds for every file of the agent: it runs on old Pythons, alone, and says what it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import remote_agent
from orchestrator.ssh.agent_archive import pack

SOURCES = sorted(Path(remote_agent.__file__).parent.rglob("*.py"))
OLDEST = sorted((Path.home() / ".pyenv" / "versions").glob("3.8.*/bin/python"))

_COUNTING = """
import collections, runpy, sys
compiled = collections.Counter()
sys.addaudithook(lambda event, said: compiled.update([said[1]]) if event == "compile" else None)
archive = sys.argv[1]
sys.argv[:] = [archive, "clean"]
try:
    runpy.run_path(archive, run_name="__main__")
except SystemExit:
    print({compiled[f"{archive}/remote_agent/{name}.py"] for name in ("clean", "run_folder", "spec")})
"""


def test_every_file_is_python_3_8() -> None:
    """No file uses syntax that Python 3.8 lacks; a real one compiles them all where it is found."""
    for path in SOURCES:
        ast.parse(path.read_text(), str(path), feature_version=(3, 8))
    for python in OLDEST:
        check = "import sys; [compile(open(path).read(), path, 'exec') for path in sys.argv[1:]]"
        subprocess.run([python, "-c", check, *map(str, SOURCES)], check=True, timeout=60)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_file_is_short_told_and_alone(path: Path) -> None:
    """A docstring, at most 350 lines, functions of at most 40, and only its own kind imported."""
    source = path.read_text()
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    assert len(source.splitlines()) <= 350
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                assert (body[-1].end_lineno or 0) - body[0].lineno < 45, node.name
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names]
            )
            for name in names:
                room = (name or "").split(".")[0]
                known = {"remote_agent", "torch", "torchvision", "pynvml"}
                assert room in known | set(sys.stdlib_module_names), name


def test_launching_imports_little() -> None:
    """`launch` imports neither torch nor what a person's hand-run needs: it is asked for often."""
    script = (
        "import sys; from remote_agent import __main__, launch; "
        "names = {'argparse', 'torch', 'subprocess', 'urllib.request', 'ctypes'}; "
        "print(sorted(names & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_module_of_the_archive_is_compiled_once(tmp_path: Path) -> None:
    """Python's own importer compiles a module to learn its file's name, and once more to run it."""
    archive = tmp_path / "agent.pyz"
    archive.write_bytes(pack().content)
    argv = [sys.executable, "-c", _COUNTING, str(archive)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.stdout == "{1}\n", done.stderr
