"""
The API, fuzzed by its own document: schemathesis makes valid and invalid requests of every operation, and holds every
answer against what the document says of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import psycopg
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from bench.attacks.ground import Ground
from bench.attacks.http.lenience import Lenience
from bench.attacks.http.served import log_in, opened, served, signed_in
from bench.attacks.record import Played
from orchestrator.database.logins import Logins
from orchestrator.database.session import Database

# These end the login that the others need; they are played last, and with a login of their own.
_ENDING: Final = ("signOut", "revokeApiKey")
_STREAMS: Final = ("followRun", "followInstances")
_LISTENED: Final = 0.4  # seconds
_STREAM_CASES: Final = 20
_ANONYMOUS_SHARE: Final = 0.15
_EDGES: Final = (
    50  # cases an operation that its edges are at most; below that only random ones are played
)
_MOST_ROUNDS: Final = 20
_TOLD: Final = 40
_CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)
_MEASURED: Final = (
    """
    INSERT INTO gpu_test_results (gpu_instance_id, user_id, run_id, source, throughput_images_per_sec,
        throughput_samples_per_sec, measured_gpu_name, verdict, configuration_hash, completed_at, created_at)
    SELECT instance_id, user_id, id, 'pushed', 100, 100, 'NVIDIA H100', 'passed', '0123456789abcdef', now(), finished_at
    FROM gpu_test_runs WHERE id = %(run)s
    """,
    """
    INSERT INTO gpu_test_figures (run_id, seq, user_id, instance_id, name, value, configuration_hash, at)
    SELECT id, 1, user_id, instance_id, 'training', 100, '0123456789abcdef', now()
    FROM gpu_test_runs WHERE id = %(run)s
    """,
    """
    UPDATE gpu_instances SET status = 'active', tested_at = now()
    WHERE id = (SELECT instance_id FROM gpu_test_runs WHERE id = %(run)s)
    """,
)
_BODIES: Final = {  # what a document can't say, sent as it stands
    "deep": b"[" * 50_000,
    "deep object": b'{"a":' * 20_000,
    "huge number": b'{"batch_size": 1' + b"0" * 5000 + b"}",
    "twice": b'{"batch_size": 1, "batch_size": 2}',
    "surrogate": b'{"gpu_model": "\\ud800"}',
    "nul": b'{"gpu_model": "a\\u0000b"}',
    "not UTF-8": b'{"gpu_model": "\xff"}',
    "NaN": b'{"quantity": NaN}',
    "no JSON": b"{",
    "empty": b"",
}


@dataclass
class Tally:
    """What was played, and what did not hold."""

    cases: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    lenient: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def take(self, recorder: ScenarioRecorder, lenience: Lenience) -> None:
        for case_id, interaction in recorder.interactions.items():
            self.cases += 1
            if interaction.response is None:
                self.violations[f"{recorder.label}: no answer"] += 1
                continue
            self.statuses[interaction.response.status_code] += 1
            for check in recorder.checks.get(case_id, ()):
                if check.failure_info is None:
                    continue
                failure = check.failure_info.failure
                case = recorder.cases[case_id].value
                if (
                    check.name == "negative_data_rejection"
                    and "in body" in failure.message
                    and lenience.allows(case.operation.path, case.method, case.body)
                ):
                    self.lenient += 1
                    continue
                kind = self.faults if check.name == "not_a_server_error" else self.violations
                kind[_sentence(recorder, case_id, check.name, failure.message)] += 1

    def answered(self, what: str, response: httpx.Response) -> None:
        """A request that no document describes may be refused, and nothing else."""
        self.cases += 1
        self.statuses[response.status_code] += 1
        if response.status_code >= 500:
            self.faults[f"{what}: {response.status_code}"] += 1
        elif response.status_code < 400:
            self.violations[f"{what}: accepted with {response.status_code}"] += 1


async def play(ground: Ground, count: int, seed: int, only: tuple[str, ...] = ()) -> Played:
    """
    About `count` requests; where they are enough, the edges of every operation are among them. A share is sent by
    nobody. With `only`, these operations alone.
    """
    tally = Tally()
    with ground.database() as logins:
        async with served(logins, ground.folder / uuid4().hex) as base, opened(logins) as api:
            supplied = await _seeded(base, api, logins)
            others = () if only else _ENDING
            runs = [
                Run(supplied.login, 1 - _ANONYMOUS_SHARE, only, others),
                Run({}, _ANONYMOUS_SHARE, only, others),
            ]
            if not only:
                runs.append(Run(await log_in(api, supplied.user_id), 0.01, only=_ENDING))
            for number, run in enumerate(runs):
                await asyncio.to_thread(
                    _fuzz, base, run, supplied.known, count, seed + number, tally
                )
            if not only:
                await _send_bodies(base, supplied.login, tally)
            let_in = await _is_let_in(base, supplied.login)
    faults, violations = tally.faults.total(), tally.violations.total()
    told = (*tally.faults.most_common(_TOLD), *tally.violations.most_common(_TOLD))
    return Played(
        tally.cases,
        {"5xx": faults, "schema_violations": violations},
        {"statuses": dict(sorted(tally.statuses.items())), "lenient": tally.lenient},
        missed=() if let_in else ("the supplier was not let in, so that refusals show nothing",),
        sentences=tuple(f"{times} x {sentence}" for sentence, times in told),
    )


async def _is_let_in(base: str, login: dict[str, str]) -> bool:
    async with httpx.AsyncClient(base_url=base, headers=login, timeout=20) as client:
        return (await client.get("/v1/instances")).is_success


@dataclass(frozen=True)
class Run:
    """A share of the requests, sent with `login`, of all operations or of some."""

    login: dict[str, str]
    share: float
    only: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Supplied:
    """A supplier with something to be asked about; `known` are words by the parameter that they fit."""

    user_id: UUID
    login: dict[str, str]
    known: dict[str, list[str]]


def _fuzz(
    base: str, run: Run, known: dict[str, list[str]], count: int, seed: int, tally: Tally
) -> None:
    document = _chosen(httpx.get(f"{base}/openapi.json").json(), run)
    operations = len(list(_operations(document)))
    wanted, before = count * run.share, tally.cases
    if wanted >= _EDGES * operations:
        _play_phase(document, _config(base, run.login, known, ("coverage", 1), seed), tally)
    # An operation without parameters has few requests that differ: the others get what it leaves over.
    for again in range(_MOST_ROUNDS):
        left = wanted - (tally.cases - before)
        most = max(1, round(left / operations))
        phase = _config(base, run.login, known, ("fuzzing", most), seed + 1000 * again)
        _play_phase(document, phase, tally)
        if tally.cases - before >= 0.95 * wanted:
            return


def _play_phase(document: dict[str, Any], settings: SchemathesisConfig, tally: Tally) -> None:
    schema = schemathesis.openapi.from_dict(document, config=settings)
    lenience = Lenience(document)
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            tally.take(event.recorder, lenience)
            print(f"fuzzed_http: {tally.cases}", end="\r", file=sys.stderr, flush=True)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            tally.violations[f"schemathesis: {event}"[:400]] += 1


def _config(
    base: str,
    login: dict[str, str],
    known: dict[str, list[str]],
    phase: tuple[str, int],
    seed: int,
) -> SchemathesisConfig:
    name, most = phase
    phases = {each: {"enabled": each == name} for each in ("coverage", "fuzzing")}
    off = {"enabled": False}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": base,
            "headers": login,
            "workers": 1,
            "continue-on-failure": True,
            "request-timeout": 10,
            "max-stream-events": 3,
            "dictionaries": {each: {"values": words} for each, words in known.items()},
            "parameters": {
                f"path.{each}": {"dictionary": each, "probability": 0.4} for each in known
            },
            "checks": {"enabled": False, **{check: {"enabled": True} for check in _CHECKS}},
            "phases": {"examples": off, "stateful": off, **phases},
            "generation": {
                "database": "none",
                "no-shrink": True,
                "with-security-parameters": False,
                "max-examples": most,
            },
            # A stream is listened to for a moment only.
            "operations": [
                {
                    "include-operation-id": list(_STREAMS),
                    "request-timeout": _LISTENED,
                    "generation": {"max-examples": min(most, _STREAM_CASES)},
                }
            ],
        }
    )


def _sentence(recorder: ScenarioRecorder, case_id: str, check: str, message: str) -> str:
    response = recorder.interactions[case_id].response
    status = response.status_code if response is not None else "no answer"
    return f"{recorder.label}: {check}: {status}: {' '.join(message.split())[:300]}"


async def _send_bodies(base: str, login: dict[str, str], tally: Tally) -> None:
    """What no generator makes, to every operation that takes a body."""
    async with httpx.AsyncClient(base_url=base, headers=login, timeout=20) as client:
        document = (await client.get("/openapi.json")).json()
        for path, method, operation in _operations(document):
            if "requestBody" not in operation:
                continue
            for name, body in _BODIES.items():
                headers = {"Content-Type": "application/json"}
                sent = path.replace("{", "").replace("}", "")
                response = await client.request(method, sent, content=body, headers=headers)
                tally.answered(f"{method} {path}, {name}", response)


def _chosen(document: dict[str, Any], run: Run) -> dict[str, Any]:
    """The document with those operations alone; each of the few that are chosen or not has a path of its own."""

    def wanted(operation_id: str) -> bool:
        return operation_id in run.only if run.only else operation_id not in run.excluded

    paths = {
        path: methods
        for path, methods in document["paths"].items()
        if any(wanted(operation["operationId"]) for operation in methods.values())
    }
    return {**document, "paths": paths}


def _operations(document: dict[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


async def _seeded(base: str, api: Database, logins: Logins) -> Supplied:
    user_id, login = await signed_in(api)
    async with httpx.AsyncClient(base_url=base, headers=login, timeout=20) as client:
        machines = [await _onboarded(client, number) for number in range(4)]
        ended = (await client.post(f"/v1/instances/{machines[0]}/runs")).json()["id"]
        await client.post(f"/v1/runs/{ended}/cancel")
        waiting = (await client.post(f"/v1/instances/{machines[1]}/runs")).json()["id"]
        await client.put(f"/v1/instances/{machines[0]}/schedule", json={"every_hours": 6})
        item = (await client.post("/v1/inventory", json={"gpu_model": "H100"})).json()["id"]
        await client.put("/v1/login-key")
        check = (await client.post("/v1/connection-checks", json={"ssh_host": "h.example"})).json()
        await client.post("/v1/api-keys", json={"name": "another"})
    _measured(logins, ended)
    known = {
        "instance_id": machines,
        "run_id": [ended, waiting],
        "item_id": [item],
        "check_id": [check["id"]],
    }
    return Supplied(user_id, login, known)


async def _onboarded(client: httpx.AsyncClient, number: int) -> str:
    body = {"instance_id": f"machine {number}", "ssh_host": "host.example"}
    answer = await client.post("/functions/v1/onboard-gpu", json=body)
    told: str = answer.raise_for_status().json()["gpu_instance"]["id"]
    return told


def _measured(logins: Logins, run_id: str) -> None:
    """A run's result, events and figures, straight in the database: no machine takes part."""
    with psycopg.connect(logins.owner) as connection:
        for statement in _MEASURED:
            connection.execute(statement.encode(), {"run": run_id})
