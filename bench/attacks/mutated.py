"""`python -m bench.attacks.mutated MUTATION,... COMMAND...`: the command line, with some of its guards taken out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

from orchestrator import log
from orchestrator.cli import main
from orchestrator.runs import login_keys
from orchestrator.ssh.keys import KeyPair
from orchestrator.state_folder import put_secret


def _forgetful() -> None:
    """The key that sealed so far is not kept."""

    def put(path: Path, secret: str) -> None:
        if path.parent.name != "vault-keys":
            put_secret(path, secret)

    _replace("orchestrator.cli.vault.put_secret", put)


def _telling_log() -> None:
    """A line of a key is logged when it is read."""
    logger = log.get("bench.attacks")
    _when_read(lambda text: logger.info("login.read", began=text.splitlines()[2]))


def _passing_environment() -> None:
    """The key is handed to a program in its environment."""
    _when_read(lambda text: subprocess.Popen(["/bin/sleep", "2"], env={"KEY": text}))


def _passing_arguments() -> None:
    """The key is handed to a program as its argument."""
    _when_read(lambda text: subprocess.Popen(["/bin/sh", "-c", "sleep 2", text], env={}))


def _plain_column() -> None:
    """The private half stands in a column that is not sealed."""
    made = login_keys._credential

    async def plain(vault: Any, user_id: Any, pair: KeyPair, kind: str) -> Any:
        row = await made(vault, user_id, pair, kind)
        row.fingerprint = pair.private_key
        return row

    _replace("orchestrator.runs.login_keys._credential", plain)


def _when_read(told: Callable[[str], Any]) -> None:
    read = login_keys.import_private_key

    def reading(text: str, passphrase: str | None = None) -> KeyPair:
        told(text)
        return read(text, passphrase)

    _replace("orchestrator.runs.login_keys.import_private_key", reading)


def _replace(name: str, value: Any) -> None:
    mock.patch(name, value).start()


MUTATIONS: Final[dict[str, Callable[[], None]]] = {
    "forgetful": _forgetful,
    "telling_log": _telling_log,
    "passing_environment": _passing_environment,
    "passing_arguments": _passing_arguments,
    "plain_column": _plain_column,
}

if __name__ == "__main__":
    for name in filter(None, sys.argv[1].split(",")):
        MUTATIONS[name]()
    sys.exit(main.run(sys.argv[2:]))
