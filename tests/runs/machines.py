"""Machines whose benchmark misbehaves: they answer the launch properly, then say what their script says."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from remote_agent.machine import series
from tests.machines import SCRIPTS, Exec, spec_of

MEASURED: Final = 0.03  # seconds: these machines answer at once, and an H100 could be as fast
Play = Callable[["Benchmark"], Awaitable[None]]


class Benchmark:
    """One launch as the machine sees it: the order, and the ways to answer."""

    def __init__(self, process: Exec, marker: str, spec: dict[str, Any]) -> None:
        self.process, self.marker, self.spec = process, marker, spec
        self.seq = 0

    async def say(self, data: bytes) -> None:
        self.process.stdout.write(data)
        await self.process.stdout.drain()

    async def event(self, kind: str, **fields: Any) -> None:
        line = {"v": 1, "nonce": self.spec["nonce"], "seq": self.seq, "t": self.seq * 1.0}
        self.seq += 1
        await self.say(json.dumps({**line, "type": kind, **fields}).encode() + b"\n")

    async def started(self) -> None:
        await self.event("started", agent="0", python="3.11", platform="scripted")

    async def result(self, **changes: Any) -> None:
        """Progress and a result that fit the spec's options, an H100 and our clock, unless changed."""
        options = self.spec["options"]
        batch, steps = options["batch_size"], -(-1000 // options["batch_size"])
        images = batch * steps
        good = {
            "batch_size": batch,
            "num_epochs": options["num_epochs"],
            "image_size": options["image_size"],
            "throughput_samples_per_sec": images / MEASURED,
            "throughput_images_per_sec": images / MEASURED,
            "latency_ms": 1000 * MEASURED / steps,
            "loss": 6.5,
            "test_duration_seconds": 12.0,
            "images": images,
            "steps": steps,
            "measured_seconds": MEASURED,
            "device": "cuda",
            "gpu_name": "NVIDIA H100 80GB HBM3",
            "gpu_count": 1,
            "precision": "amp-bf16",
            "model_source": "builtin",
            "parameters": 25_557_032,
            "torch_version": "2.13.0",
            "system_telemetry": {"ram_gb": 256.0, "cpu_count": 64, "cuda_version": "13.0"},
        }
        if self.seq == 1:
            await self.event("progress", phase="measure", done=batch, total=images)
        await self.event("result", **{**good, **changes})

    def end(self, **changes: Any) -> None:
        said = {"status": 0, "signal": None, "reason": None, "bytes": 1, "rebooted": False}
        line = json.dumps({**said, "stderr_tail": "", **changes})
        self.process.stderr.write(f"@harborx {self.marker} end {line}\n".encode())


def scripted(name: str, play: Play) -> str:
    """A script for `tests.machines.scripted_machine`, by its name."""

    async def exec_script(process: Exec, marker: str) -> None:
        if " clean " in f" {process.command} ":
            process.stdout.write(f"@harborx {marker} cleaned\n".encode())
            return
        spec = spec_of(process)
        process.stdout.write(f"@harborx {marker} begin started\n".encode())
        await play(Benchmark(process, marker, spec))

    SCRIPTS[name] = exec_script
    return name


async def _rubbish(machine: Benchmark) -> None:
    await machine.say(b"\x1b[31mhello\x1b[0m\n\xff\xfe\n{}\n[1,2]\nnull\n")
    machine.end()


async def _crash(machine: Benchmark) -> None:
    await machine.started()
    machine.end(status=None, signal="SIGSEGV", stderr_tail="Segmentation fault \x1b]0;x\x07")


async def _dies_mid_line(machine: Benchmark) -> None:
    await machine.started()
    await machine.say(b'{"v": 1, "nonce": "' + machine.spec["nonce"].encode() + b'", "seq": 1, "t"')
    machine.end(status=None, signal="SIGKILL")


async def _flood(machine: Benchmark) -> None:
    for _ in range(16 * 1024):
        await machine.say(b"x" * 65536)


async def _hang(machine: Benchmark) -> None:
    await machine.started()
    machine.end(status=None, signal="SIGKILL", reason="deadline")


async def _no_torch(machine: Benchmark) -> None:
    await machine.started()
    await machine.event("failed", code="provision_failed", message="no index", detail="pip said no")
    machine.end(status=1)


async def _reboot(machine: Benchmark) -> None:
    await machine.started()
    machine.end(status=None, reason="host_rebooted", rebooted=True)


async def _two_results(machine: Benchmark) -> None:
    await machine.started()
    await machine.result()
    await machine.result()
    machine.end()


async def _not_finite(machine: Benchmark) -> None:
    await machine.started()
    await machine.result(throughput_samples_per_sec=float("nan"))
    machine.end()


async def _gap(machine: Benchmark) -> None:
    await machine.started()
    machine.seq = 5
    await machine.result()
    machine.end()


async def _another_nonce(machine: Benchmark) -> None:
    machine.spec["nonce"] = "0" * 32
    await machine.started()
    await machine.result()
    machine.end()


async def _tiny_events(machine: Benchmark) -> None:
    await machine.started()
    head = {"v": 1, "nonce": machine.spec["nonce"], "t": 1.0, "type": "warning"}
    for first in range(1, 1_000_000, 500):
        lines = (
            json.dumps({**head, "seq": first + n, "code": "", "message": ""}) for n in range(500)
        )
        await machine.say("".join(f"{line}\n" for line in lines).encode())


async def _too_fast(machine: Benchmark) -> None:
    await machine.started()
    await machine.result(
        throughput_samples_per_sec=1e6,
        throughput_images_per_sec=1e6,
        latency_ms=0.032,
        measured_seconds=1024 / 1e6,
    )
    machine.end()


async def _no_progress(machine: Benchmark) -> None:
    await machine.started()
    machine.seq = 1
    await machine.event("warning", code="none", message="a result out of nothing")
    await machine.result()
    machine.end()


async def _another_gpu(machine: Benchmark) -> None:
    await machine.started()
    await machine.result(gpu_name="NVIDIA A100-SXM4-80GB")
    machine.end()


async def _good(machine: Benchmark) -> None:
    await machine.started()
    await machine.result()
    machine.end()


async def _says_it_once(machine: Benchmark) -> None:
    """As a follower from an offset: to the second worker there is nothing new to tell."""
    if machine.spec["epoch"] == 1:
        await _good(machine)
    else:
        machine.end()


async def _torn_then_good(machine: Benchmark) -> None:
    """The first follower is killed in the middle of a line; the second tells everything from there."""
    if machine.spec["epoch"] == 1:
        await machine.started()
        await machine.say(b'{"v": 1, "nonce": "' + machine.spec["nonce"].encode() + b'", "se')
        return
    machine.seq = 1
    await machine.result()
    machine.end()


async def _holds(machine: Benchmark) -> None:
    """A benchmark that goes on until its follower leaves."""
    await machine.started()
    await machine.process.stdin.read()


async def _much_raw(machine: Benchmark) -> None:
    """As much as a line may hold; in PostgreSQL it is six times as long."""
    await machine.started()
    await machine.result(raw_results={"numbers": [1] * 20_000})
    machine.end()


async def _will_not_clean(process: Exec, marker: str) -> None:
    """Goes on until its follower leaves, and says of every clean that somebody else owns the run."""
    if " clean " in f" {process.command} ":
        process.stdout.write(f"@harborx {marker} refused 99\n".encode())
        return
    spec = spec_of(process)
    process.stdout.write(f"@harborx {marker} begin started\n".encode())
    await _holds(Benchmark(process, marker, spec))


def busy(name: str, answer: str) -> str:
    """A machine that answers the first launch with `busy <answer>` and measures at the second."""
    launches = 0

    async def exec_script(process: Exec, marker: str) -> None:
        nonlocal launches
        if " clean " in f" {process.command} ":
            process.stdout.write(f"@harborx {marker} cleaned\n".encode())
            return
        launches += 1
        if launches == 1:
            process.stdout.write(f"@harborx {marker} busy {answer}\n".encode())
            return
        spec = spec_of(process)
        process.stdout.write(f"@harborx {marker} begin started\n".encode())
        await _good(Benchmark(process, marker, spec))

    SCRIPTS[name] = exec_script
    return name


async def _throttled(machine: Benchmark) -> None:
    """A hot card that says so, with its readings packed, one telling of them beyond the first, and figures."""
    await machine.started()
    await machine.event("warning", code="throttled", message="Heat held the clocks down.\x1b[2J")
    await machine.event("metric", name="matmul fp16", value=600.5, unit="TFLOPS", gpu_index=0,
                        configuration={"size": 8192}, configuration_hash="0" * 16)  # fmt: skip
    await machine.event("metric", name="disk write", detail={"error": "no space"})
    for watts in (650.0, 1.0):
        packed = series.pack(["power_watts"], [[watts], [None], [watts + 1]])
        await machine.event(
            "telemetry",
            gpu_index=0,
            gpu_uuid="GPU-1",
            interval_seconds=0.1,
            readings=3,
            columns=["power_watts"],
            rollup={"power_watts": {"min": 650.0, "mean": 650.5, "p95": 651.0, "max": 651.0}},
            packed=base64.b64encode(packed).decode(),
        )
    await machine.event("progress", phase="measure", done=32, total=1024)
    rate = 1024 / MEASURED
    await machine.result(throughput_low=0.998 * rate, throughput_high=1.002 * rate)
    machine.end()


GOOD = scripted("good", _good)
THROTTLED = scripted("throttled", _throttled)
HOLDS = scripted("holds", _holds)
MUCH_RAW = scripted("much_raw", _much_raw)
WILL_NOT_CLEAN = "will_not_clean"
SCRIPTS[WILL_NOT_CLEAN] = _will_not_clean
TORN_THEN_GOOD = scripted("torn_then_good", _torn_then_good)
SAYS_IT_ONCE = scripted("says_it_once", _says_it_once)

# Script -> how the run ends, and what its instance is afterwards (claimed: one NVIDIA H100).
MISBEHAVIOUR = {
    scripted("rubbish", _rubbish): ("failed", "output_refused", "failed"),
    scripted("crash", _crash): ("failed", "agent_crashed", "failed"),
    scripted("dies_mid_line", _dies_mid_line): ("failed", "agent_crashed", "failed"),
    scripted("flood", _flood): ("failed", "output_flood", "failed"),
    scripted("hang", _hang): ("failed", "agent_timed_out", "failed"),
    scripted("no_torch", _no_torch): ("inconclusive", "provision_failed", "pending"),
    scripted("reboot", _reboot): ("inconclusive", "host_rebooted", "pending"),
    scripted("two_results", _two_results): ("failed", "output_refused", "failed"),
    scripted("gap", _gap): ("failed", "output_refused", "failed"),
    scripted("another_nonce", _another_nonce): ("failed", "output_refused", "failed"),
    scripted("tiny_events", _tiny_events): ("failed", "output_flood", "failed"),
    scripted("not_finite", _not_finite): ("failed", "output_refused", "failed"),
    scripted("too_fast", _too_fast): ("failed", "result_implausible", "failed"),
    scripted("no_progress", _no_progress): ("inconclusive", "clock_disagrees", "pending"),
    "refused": ("inconclusive", "launch_failed", "pending"),
    scripted("another_gpu", _another_gpu): ("failed", "gpu_mismatch", "failed"),
}
