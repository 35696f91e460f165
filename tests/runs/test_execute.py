"""The story of a run against real machines and real misbehaviour."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from orchestrator.database.models import RunEvent
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.options import Options
from orchestrator.domain.series import unpack
from orchestrator.runs import execute
from orchestrator.ssh.keys import generate_key_pair
from tests.machines import SshdMachine, scripted_machine
from tests.runs.conftest import SMALL, Marketplace, left_behind
from tests.runs.machines import (
    GOOD,
    MEASURED,
    MISBEHAVIOUR,
    MUCH_RAW,
    SAYS_IT_ONCE,
    THROTTLED,
    TORN_THEN_GOOD,
)


async def test_a_machine_is_tested_from_request_to_result(
    marketplace: Marketplace, machine: SshdMachine
) -> None:
    """A requested run pushes the real agent over a real sshd, trains, is judged and kept; nothing stays behind."""
    instance = await marketplace.onboard(machine.target())
    run = await marketplace.execute(instance)
    assert (run.state, run.error_code, run.error_message) == ("passed", None, None)
    assert run.epoch == 1
    assert run.cleaned_at is not None
    assert left_behind(machine) == []

    result = await marketplace.result(run.id)
    assert result is not None
    assert (result.verdict, result.source, result.device) == ("passed", "pushed", "cpu")
    assert result.images == SMALL.batch_size * (result.steps or 0) >= 3 * SMALL.batch_size
    assert result.throughput_samples_per_sec == pytest.approx(
        (result.images or 0) / (result.measured_seconds or 1), rel=0.01
    )
    assert result.compute_miles_per_hour == pytest.approx(
        (result.throughput_samples_per_sec or 0) * 3600
    )
    assert result.gpu_utilization_percent is None
    assert result.torch_version
    assert result.configuration["batch_size"] == SMALL.batch_size
    figures = await marketplace.figures(run.id)
    assert [each.name for each in figures][:2] == ["training", "inference"]
    assert figures[0].configuration_hash == result.configuration_hash
    assert figures[0].value == result.throughput_images_per_sec
    assert figures[1].value == result.inference_images_per_sec
    assert {"matmul fp32", "memory copy"} <= {each.name for each in figures}

    settled = await marketplace.instance(instance.id)
    assert (settled.status, settled.test_status) == ("active", "completed")
    assert settled.host_key == machine.host_key
    assert settled.cpu_count
    assert settled.ram_gb

    told = await marketplace.events(run.id)
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    kinds = [event.type for event in told]
    assert kinds[0] == "state"
    assert kinds[-1] == "ended"
    assert {"host_key", "started", "probe", "provision", "progress", "metric", "result"} <= set(
        kinds
    )
    states = [event.body["state"] for event in told if event.type == "state"]
    assert states == ["connecting", "preparing", "running", "judging"]
    assert _pushed(told) == "exec"

    # The same machine again, now claiming a GPU it has not: the agent is there, the claim fails.
    liar = await marketplace.onboard(machine.target(), gpu_name="NVIDIA H100")
    run = await marketplace.execute(liar)
    assert (run.state, run.error_code) == ("failed", "gpu_missing")
    result = await marketplace.result(run.id)
    assert result is not None
    assert result.verdict == "failed"
    assert (await marketplace.instance(liar.id)).status == "failed"
    assert _pushed(await marketplace.events(run.id)) is None


async def test_a_machine_without_python_is_not_held_against_the_supplier(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """No Python on the machine: inconclusive, and the instance is what it was before."""
    instance = await marketplace.onboard(bare_machine.target())
    run = await marketplace.execute(instance)
    assert (run.state, run.error_code) == ("inconclusive", "python_missing")
    after = await marketplace.instance(instance.id)
    assert (after.status, after.test_status) == ("pending", "not_started")


async def test_an_unreachable_host_is_offline(marketplace: Marketplace) -> None:
    """Nobody listening at the address: the run says so and the instance is offline."""
    async with scripted_machine() as machine:
        target = machine.target()
    instance = await marketplace.onboard(target)
    run = await marketplace.execute(instance)
    assert (run.state, run.error_code) == ("failed", "host_unreachable")
    assert (await marketplace.instance(instance.id)).status == "offline"


async def test_a_refused_login_is_told_as_such(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """A key that the machine does not know ends the run with login_refused."""
    instance = await marketplace.onboard(bare_machine.target(key=generate_key_pair()))
    run = await marketplace.execute(instance)
    assert (run.state, run.error_code) == ("failed", "login_refused")


async def test_a_changed_host_key_stops_everything(
    marketplace: Marketplace, bare_machine: SshdMachine
) -> None:
    """A host key other than the pinned one ends the run before any login, with both fingerprints."""
    instance = await marketplace.onboard(bare_machine.target())
    assert (await marketplace.execute(instance)).error_code == "python_missing"
    logins = bare_machine.log.count("Accepted publickey")
    assert logins
    bare_machine.rotate_host_key()
    run = await marketplace.execute(instance)
    assert (run.state, run.error_code) == ("failed", "host_key_changed")
    assert run.evidence["expected"] != run.evidence["presented"]
    assert run.evidence["presented"] in (run.error_message or "")
    assert bare_machine.log.count("Accepted publickey") == logins


@pytest.mark.parametrize("script", MISBEHAVIOUR)
async def test_misbehaviour_has_a_typed_ending(marketplace: Marketplace, script: str) -> None:
    """Whatever a machine says, its run ends with a code of the catalogue, and its instance with it."""
    state, code, status = MISBEHAVIOUR[script]
    async with scripted_machine(script) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
    assert (run.state, run.error_code) == (state, code)
    assert (await marketplace.instance(instance.id)).status == status
    shown = str([event.body for event in await marketplace.events(run.id)]) + str(run.evidence)
    assert "\\x1b" not in shown


async def test_a_measured_h100_scores_its_miles(marketplace: Marketplace) -> None:
    """Compute miles use the measured name, and an unclaimed name is filled in by the measurement."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), None)
        run = await marketplace.execute(instance, Options())
    assert (run.state, run.error_message) == ("passed", None)
    result = await marketplace.result(run.id)
    assert result is not None
    assert result.compute_miles_per_hour == pytest.approx(1024 / MEASURED * 1.5 * 3600)
    after = await marketplace.instance(instance.id)
    assert after.ram_gb == 256.0


async def test_a_run_keeps_its_figures_its_readings_and_what_explains_them(
    marketplace: Marketplace,
) -> None:
    """Figures with their conditions, one packed row a GPU, and findings that explain and fail nobody."""
    async with scripted_machine(THROTTLED) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
    assert (run.state, run.error_message) == ("passed", None)
    result = await marketplace.result(run.id)
    assert result is not None
    assert [each["code"] for each in result.findings] == ["throttled"]
    lines = {line["check"]: line for line in result.evidence}
    assert lines["throttled"]["passed"] is None
    assert "\x1b" not in str(result.evidence)
    assert lines["interval"]["passed"] is True
    assert result.roofline_percent == pytest.approx(100 * 1024 / MEASURED * 346 / 3_350_000)
    matmul, disk = await marketplace.figures(run.id)
    assert (matmul.name, matmul.value, matmul.gpu_index) == ("matmul fp16", 600.5, 0)
    assert (matmul.configuration, matmul.configuration_hash) == ({"size": 8192}, "0" * 16)
    assert matmul.measured_gpu_name == "NVIDIA H100 80GB HBM3"
    assert (disk.value, disk.detail) == (None, {"error": "no space"})
    (row,) = await marketplace.telemetry(run.id)
    assert unpack(row.packed) == {"power_watts": [650.0, None, 651.0]}
    assert (row.gpu_uuid, row.readings, row.rollup["power_watts"]["mean"]) == ("GPU-1", 3, 650.5)
    told = [event for event in await marketplace.events(run.id) if event.type == "telemetry"]
    assert all("characters" in event.body["packed"] for event in told)


async def test_raw_figures_of_any_allowed_length_are_kept(marketplace: Marketplace) -> None:
    """What the wire allows, the table takes: a machine can't turn its verdict into a fault of ours."""
    async with scripted_machine(MUCH_RAW) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
    assert (run.state, run.error_message) == ("passed", None)


async def test_a_worker_that_dies_is_replaced_without_gap_or_repeat(
    marketplace: Marketplace, machine: SshdMachine
) -> None:
    """Another worker attaches to the running benchmark at the stored offset; one result, no event twice."""
    instance = await marketplace.onboard(machine.target())
    run = await marketplace.request(instance, SMALL)
    first = asyncio.create_task(execute.execute_run(run.id, marketplace.worker))
    async with asyncio.timeout(60):
        while (await marketplace.run(run.id)).remote_offset == 0:
            await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.wait({first})
    await execute.execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.epoch) == ("passed", 2)
    told = await marketplace.events(run.id)
    running = [event.body for event in told if event.body.get("state") == "running"]
    assert [body["attached"] for body in running] == [False, True]
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert len([event for event in told if event.type == "started"]) == 1
    agents = [event for event in told if event.t is not None]
    assert len(agents) == ended.next_agent_seq
    assert left_behind(machine) == []


async def test_a_result_that_was_stored_is_judged_by_the_next_worker(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between storing the result and judging it loses nothing: the next one judges it."""
    async with scripted_machine(SAYS_IT_ONCE) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        with monkeypatch.context() as dying:
            dying.setattr(execute, "outcome_of", _die)
            with pytest.raises(asyncio.CancelledError):
                await execute.execute_run(run.id, marketplace.worker)
        stored = await marketplace.run(run.id)
        assert (stored.state, stored.epoch) == ("judging", 1)
        await execute.execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.error_message, ended.epoch) == ("passed", None, 2)
    assert await marketplace.result(run.id) is not None


async def test_a_benchmark_that_ran_while_nobody_watched_is_judged_without_our_clock(
    marketplace: Marketplace, machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies after the launch, before it stored a byte, makes no liar of the machine."""
    instance = await marketplace.onboard(machine.target())
    run = await marketplace.request(instance, SMALL)
    with monkeypatch.context() as dying:

        async def die(*_: object) -> None:
            raise asyncio.CancelledError

        dying.setattr("orchestrator.runs.journal.Journal.take", die)
        with pytest.raises(asyncio.CancelledError):
            await execute.execute_run(run.id, marketplace.worker)
    assert (await marketplace.run(run.id)).remote_offset == 0
    run_folder = machine.home / ".harborx" / "runs" / str(run.id)
    async with asyncio.timeout(60):
        while not (run_folder / "exit").exists():
            await asyncio.sleep(0.05)
    await execute.execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.error_message) == ("passed", None)


async def test_a_torn_line_is_read_whole_by_the_next_follower(marketplace: Marketplace) -> None:
    """A follower that vanishes within a line leaves no evidence against the machine."""
    async with scripted_machine(TORN_THEN_GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
    assert (run.error_code, run.epoch) == (None, 2)
    assert not [event for event in await marketplace.events(run.id) if event.type == "refused"]


async def test_a_run_is_not_tried_for_ever(marketplace: Marketplace) -> None:
    """After a thousand claims, however they came about, a run ends and its instance is free again."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.request(instance, Options())
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await session.exec(text("UPDATE gpu_test_runs SET attempt = 1000"))  # type: ignore[call-overload]
        await execute.execute_run(run.id, marketplace.worker)
    ended = await marketplace.run(run.id)
    assert (ended.state, ended.error_code) == ("inconclusive", "internal_error")


async def test_the_cpu_of_a_gpu_instance_is_not_tested(marketplace: Marketplace) -> None:
    """Asking for the CPU of a machine that claims a GPU is refused, since it could only fail."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        with pytest.raises(InvalidInput):
            await marketplace.request(instance, Options(device="cpu"))


def _die(*_: object) -> None:
    raise asyncio.CancelledError


def _pushed(told: list[RunEvent]) -> str | None:
    """How the agent was copied, from a run's events; None where it was there."""
    running = next(event for event in told if event.body.get("state") == "running")
    way: str | None = running.body["pushed"]
    return way
