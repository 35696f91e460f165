"""
A whole installation's life as its users live it: API and worker as processes that log all they can, commands, a machine
with a real sshd, and what goes wrong with logins; every secret in it is known.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncssh
import httpx
import psycopg

from bench.attacks.canaries.forms import Canary, of_key, text
from bench.attacks.canaries.places import Place
from orchestrator.database.logins import Logins
from tests.machines import SshdMachine

_WAIT_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.05
_OPTIONS: Final = {"batch_size": 8, "image_size": 32, "num_epochs": 1, "budget_seconds": 1}
_CONFIG: Final = """\
state_dir = "{state}"
[auth]
issuer = "https://issuer.example"
issuer_secret = "{issuer_secret}"
[ssh]
allowed_networks = ["127.0.0.0/8"]
connect_attempts = 1
[agent]
install_torch = false
[log]
level = "debug"
"""


@dataclass
class Life:
    """`canaries` grow as secrets are made; `places` is what was answered and printed."""

    folder: Path
    logins: Logins
    machine: SshdMachine
    mutations: tuple[str, ...]
    canaries: list[Canary] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    statuses: list[tuple[str, int]] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def canary(self, name: str) -> str:
        """A new secret of this name."""
        value = f"{name.replace(' ', '-')}-{secrets.token_urlsafe(24)}"
        self.canaries.append(text(name, value))
        return value

    def configure(self) -> None:
        config = self.folder / "config.toml"
        config.touch(mode=0o600)
        issuer_secret = self.canary("issuer secret")
        config.write_text(_CONFIG.format(state=self.state, issuer_secret=issuer_secret))

    @asynccontextmanager
    async def process(self, name: str, *arguments: str, style: str) -> AsyncIterator[str]:
        """A process that stays; the first line that it prints, or "". Its log is a place."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *self._command(arguments),
                env=self._environment(HARBORX_LOG__FORMAT=style),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        assert process.stdout is not None
        try:
            first = await process.stdout.readline() if name == "api" else b""
            if name != "api":
                await _until(lambda: b"is ready" in log.read_bytes())
            yield first.decode()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            self.places.append((f"the log of the {name}", log.read_bytes()))

    async def run(self, *arguments: str, stdin: str = "") -> str:
        """A command to its end; its stdout. What it prints is a place."""
        process = await asyncio.create_subprocess_exec(
            *self._command(arguments),
            env=self._environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        self.places.append((f"harborx {' '.join(arguments[:2])}", out + b"\n" + err))
        self.statuses.append((f"harborx {' '.join(arguments)}", process.returncode or 0))
        return out.decode()

    async def keep(self, answer: httpx.Response) -> None:
        """An answer is a place, all of it."""
        await answer.aread()
        path = "/".join("{id}" if len(each) == 36 else each for each in answer.url.path.split("/"))
        name = f"{answer.request.method} {path}"
        head = "\n".join(f"{key}: {value}" for key, value in answer.headers.multi_items())
        self.places.append((f"the answer to {name}", head.encode() + b"\n" + answer.content))
        self.statuses.append((name, answer.status_code))

    def _command(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        mutated = (sys.executable, "-m", "bench.attacks.mutated", ",".join(self.mutations))
        return (*mutated, *arguments)

    def _environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "HOME": str(self.folder),
            "HARBORX_CONFIG": str(self.folder / "config.toml"),
            "NO_COLOR": "1",
            **more,
        }


async def live(life: Life, *, whole: bool) -> None:
    """Everything from sign-up to a test, and what can go wrong on the way; the first steps only, unless `whole`."""
    async with (
        life.process(
            "api", "serve", "--port", "0", "--no-worker", "--json", style="console"
        ) as said,
        life.process("worker", "worker", style="json"),
        httpx.AsyncClient(
            base_url=json.loads(said)["address"],
            event_hooks={"response": [life.keep]},
            timeout=30,
        ) as client,
    ):
        await _account(life, client)
        key = _new_key(life, "supplied key")
        machine = await _onboard(life, client, "supplied", ssh_key=key)
        await _check(life, client, ssh_key=key)
        if whole:
            await _other_logins(life, client, key)
            await _what_goes_wrong(life, client, key)
            await _keys(life, client, machine)
            life.ended["test"] = await _test(client, machine)
            await _a_row_that_does_not_open(life, client)
            await life.run("keys", "rotate")
            life.ended["rotation"] = "passed" if life.statuses[-1][1] == 0 else "failed"
            await _check(life, client, ssh_key=key)
            await _look_around(life, client, machine)


async def _account(life: Life, client: httpx.AsyncClient) -> None:
    password, other = life.canary("password"), life.canary("new password")
    login = {"email": "canary@example.com", "password": password}
    await client.post("/v1/auth/sign-up", json={**login, "email": {"nested": password}})
    signed_up = await client.post("/v1/auth/sign-up", json=login)
    _session(life, client, signed_up)
    await client.post("/v1/auth/sign-up", json=login)  # taken
    await client.post("/v1/auth/sign-in", json={**login, "password": life.canary("wrong password")})
    change = {"current_password": password, "new_password": other}
    await client.put("/v1/profile/password", json=change)
    signed_in = await client.post("/v1/auth/sign-in", json={**login, "password": other})
    _session(life, client, signed_in)


def _session(life: Life, client: httpx.AsyncClient, answer: httpx.Response) -> None:
    token = answer.json()["access_token"]
    life.canaries.append(text("session token", token.rpartition(".")[2]))
    client.headers["Authorization"] = f"Bearer {token}"


def _new_key(life: Life, name: str) -> str:
    key = asyncssh.generate_private_key("ssh-ed25519", life.canary(f"comment of the {name}"))
    private = key.export_private_key("openssh").decode()
    life.machine.authorise(key.export_public_key("openssh").decode().strip())
    life.canaries += of_key(name, private)
    return private


async def _onboard(life: Life, client: httpx.AsyncClient, name: str, **login: Any) -> str | None:
    body = {**_address(life), "instance_id": name, "gpu_name": "CPU", **login}
    answer = await client.post("/functions/v1/onboard-gpu", json=body)
    onboarded: str | None = answer.json().get("gpu_instance", {}).get("id")
    if "public_key" in answer.json():
        life.machine.authorise(answer.json()["public_key"])
    return onboarded


async def _check(life: Life, client: httpx.AsyncClient, **login: Any) -> None:
    answer = await client.post("/v1/connection-checks", json={**_address(life), **login})
    if answer.status_code != 202:
        return
    found = await _ended(client, answer.headers["Location"])
    life.ended[f"check {len(life.ended)}"] = found["state"]


async def _other_logins(life: Life, client: httpx.AsyncClient, key: str) -> None:
    """Our own keys, certificates, an encrypted key, and a key by the command line."""
    await client.put("/v1/login-key")
    await client.get("/v1/login-ca")
    await _onboard(life, client, "own")
    await _onboard(life, client, "shared", login="shared")
    await _onboard(life, client, "certified", login="certificate")
    await _check(life, client)
    passphrase = life.canary("passphrase")
    read = asyncssh.import_private_key(key)
    for form in ("openssh", "pkcs8-pem"):
        encrypted = read.export_private_key(form, passphrase).decode()
        life.canaries.append(text(f"encrypted key, {form}", encrypted.strip()))
        login = {"ssh_key": encrypted, "ssh_key_passphrase": passphrase}
        await _onboard(life, client, f"encrypted-{form}", **login)
    await life.run(
        *("onboard", "by-hand", life.machine.host, "--port", str(life.machine.port)),
        *("--ssh-user", life.machine.user, "--gpu-name", "CPU", "--key", "-"),
        stdin=key,
    )


async def _what_goes_wrong(life: Life, client: httpx.AsyncClient, key: str) -> None:
    """Wrong passphrases, damaged and misplaced keys, and a database that refuses; whatever is answered is kept."""
    encrypted = asyncssh.import_private_key(key).export_private_key("openssh", "right").decode()
    wrong = life.canary("wrong passphrase")
    lines = key.splitlines()
    damaged = "\n".join([*lines[:3], lines[3][:-8], *lines[4:]])
    malformed = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{life.canary('malformed key')}\n-----END OPENSSH PRIVATE KEY-----"
    bodies: list[dict[str, Any]] = [
        {"ssh_key": encrypted, "ssh_key_passphrase": wrong},
        {"ssh_key": damaged, "ssh_key_passphrase": wrong},
        {"ssh_key": malformed},
        {"ssh_key": {"a": key}},
        {"ssh_key": key * 200},
        {"ssh_key_passphrase": [wrong], "ssh_key": key},
        {"ssh_port": key, "ssh_user": key, "ssh_host": key},
        {"login": wrong},
        {"ssh_key": key, "login": "shared"},
    ]
    for number, body in enumerate(bodies):
        await client.post(
            "/functions/v1/onboard-gpu",
            json={**_address(life), "instance_id": f"wrong-{number}", **body},
        )
        await client.post("/v1/connection-checks", json={**_address(life), **body})
    await client.post("/v1/connection-checks", content=b'{"ssh_key": "' + key.encode())
    await _onboard(life, client, "supplied", ssh_key=key)  # again
    await life.run(*("onboard", "wrong", "127.0.0.1", "--key", "-", "--debug"), stdin=damaged)
    with psycopg.connect(life.logins.owner, autocommit=True) as connection:
        connection.execute("ALTER TABLE gpu_credentials RENAME TO gone")
        await _onboard(life, client, "refused", ssh_key=key)
        connection.execute("ALTER TABLE gone RENAME TO gpu_credentials")


async def _keys(life: Life, client: httpx.AsyncClient, machine: str | None) -> None:
    made = (await client.post("/v1/api-keys", json={"name": "canary"})).json()["key"]
    life.canaries.append(text("API key", _secret_part(made)))
    submit = (await client.post(f"/v1/instances/{machine}/submit-keys")).json()["key"]
    life.canaries.append(text("submit key", _secret_part(submit)))
    said = await life.run("keys", "create", "--service-role", "--name", "operator", "--json")
    service = json.loads(said)["key"]
    life.canaries.append(text("service-role key", _secret_part(service)))
    for key in (made, submit, service, f"{made[:-1]}x"):
        await client.get("/v1/instances", headers={"x-api-key": key, "Authorization": ""})
        await client.post("/functions/v1/submit-test-results", json={"api_key": key, "results": 1})
    await client.get("/v1/api-keys")
    await client.get("/v1/sessions")


def _secret_part(key: str) -> str:
    return key.rpartition("_")[2]


async def _test(client: httpx.AsyncClient, machine: str | None) -> str:
    """A test to its end; how it ended."""
    order = {"gpu_instance_id": machine, "options": _OPTIONS}
    run = (await client.post("/functions/v1/request-gpu-test", json=order)).json()["run_id"]
    found = await _ended(client, f"/v1/runs/{run}")
    for path in ("", "/events", "/figures"):
        await client.get(f"/v1/runs/{run}{path}")
    return str(found["state"])


async def _a_row_that_does_not_open(life: Life, client: httpx.AsyncClient) -> None:
    """A fault within the worker, with its traceback."""
    own = await _onboard(life, client, "damaged")
    with psycopg.connect(life.logins.owner) as connection:
        connection.execute(
            "UPDATE gpu_credentials SET ciphertext = set_byte(ciphertext, 20, get_byte(ciphertext, 20) # 1)"
            " WHERE instance_id = %s",
            (own,),
        )
    life.ended["damaged"] = await _test(client, own)
    with psycopg.connect(life.logins.owner) as connection:
        connection.execute("DELETE FROM gpu_credentials WHERE instance_id = %s", (own,))


async def _look_around(life: Life, client: httpx.AsyncClient, machine: str | None) -> None:
    for path in (
        *("/v1/instances", f"/v1/instances/{machine}", "/v1/runs", "/v1/results", "/v1/audit"),
        *("/v1/login-key", "/v1/profile", "/v1/inventory", "/openapi.json", "/v1/nothing"),
        *(f"/v1/instances/{machine}/login", f"/v1/instances/{machine}/history"),
    ):
        await client.get(path)
    for words in (
        ("config", "show"),
        ("keys", "status"),
        ("keys", "list", "--service-role"),
        ("instances",),
        ("db", "status"),
    ):
        await life.run(*words)
    await client.post("/v1/auth/sign-out")


def _address(life: Life) -> dict[str, Any]:
    return {
        "ssh_host": life.machine.host,
        "ssh_port": life.machine.port,
        "ssh_user": life.machine.user,
    }


async def _ended(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """A check or a run, once it is over."""
    until = time.monotonic() + _WAIT_SECONDS
    while not (found := (await client.get(path)).json())["finished_at"]:
        if time.monotonic() > until:
            raise AssertionError(f"{path} ends")
        await asyncio.sleep(_LOOK_SECONDS)
    return dict(found)


async def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + _WAIT_SECONDS
    while not true():
        if time.monotonic() > until:
            raise AssertionError("a process says that it is ready")
        await asyncio.sleep(_LOOK_SECONDS)


def kept_secrets(state: Path) -> list[Canary]:
    """What the installation made for itself and keeps in its state folder, by file."""
    found = []
    for path in sorted(state.rglob("*")):
        inside = path.relative_to(state)
        if path.is_file() and inside.parts[0] != "postgresql" and os.stat(path).st_size < 1024:
            found.append(text(f"kept {inside}", path.read_text("ascii").strip()))
    return found
