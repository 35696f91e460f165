"""Finding a torch that can measure, getting one where there is none, and saying so in events."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.errors import ProvisionFailed
from orchestrator.runs.conclude import _AGENT_CODES
from remote_agent import benchmark, spec
from remote_agent.events import EventWriter
from remote_agent.failure import Failure
from remote_agent.provision import finding, installation, places, target
from remote_agent.provision.interpreters import Interpreter
from remote_agent.provision.target import Target
from tests.agent.instance import NONCE, RUN, decoded
from tests.agent.stand_ins import BLIND, CPU, ROCM, SEEING, UNFIT, Torch, python

CUDA = Target(has_driver=True, cuda=(12, 4), capabilities=((9, 0),))
AMD = Target(rocm=True)
MADE = Interpreter("/made", (3, 11), "2.13.0", "12.6", True)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts torches and a target on the machine; `find` answers what was taken, and what was told."""

    class Machine:
        installed: installation.Plan | None = None
        made = MADE
        told: list[tuple[str, str]]

        def find(
            self, torches: list[Torch | None], looks: Target, device: str = "auto", **orders: Any
        ) -> str:
            paths = [python(tmp_path / str(n) / "python", one) for n, one in enumerate(torches)]
            monkeypatch.setattr(places, "_places", lambda home: iter(map(str, paths)))
            monkeypatch.setattr(target, "look", lambda: looks)
            self.told = []
            wanted = spec.Provisioning(**{"install": True, **orders})
            return finding.find_torch(
                wanted, device, str(tmp_path / "hx"), 1e9,
                lambda step, message, **fields: self.told.append((step, message)),
            )  # fmt: skip

    one = Machine()

    def install(home: str, plan: installation.Plan, limit: float, tell: Any) -> Interpreter:
        one.installed = plan
        return one.made

    monkeypatch.setattr(finding, "install", install)
    return one


@pytest.mark.parametrize(
    ("torches", "looks", "device", "taken"),
    [
        ([None, CPU], Target(), "auto", "1"),
        ([CPU], CUDA, "cpu", "0"),
        ([CPU], CUDA, "auto", "made"),
        ([CPU, SEEING], CUDA, "auto", "1"),
        ([UNFIT], CUDA, "cuda", "made"),
        ([BLIND], CUDA, "cuda", "0"),
        ([None], CUDA, "cuda", "made"),
        ([CPU, ROCM], AMD, "auto", "1"),
        ([CPU], AMD, "auto", "0"),
        ([(*ROCM[:2], False, True, "no HIP GPUs")], CUDA, "auto", "made"),
    ],
)
def test_torch_is_installed_where_another_build_would_do_better(
    machine: Any, torches: list[Torch | None], looks: Target, device: str, taken: str
) -> None:
    """A CPU build beside a GPU, or one without the card's code, is no torch; a broken card is no reason."""
    assert machine.find(torches, looks, device).strip("/").split("/")[-2:][0] == taken
    assert (machine.installed is not None) == (taken == "made")


@pytest.mark.parametrize("torch", [CPU, UNFIT])
def test_without_leave_to_install_the_torch_that_is_there_must_do(
    machine: Any, torch: Torch
) -> None:
    """Nothing is installed where the orders forbid it; what the GPU said is told."""
    assert machine.find([torch], CUDA, install=False)
    assert machine.installed is None
    assert machine.told[-1][0] == "found"
    assert "can't use the GPU" in machine.told[-1][1]


def test_without_leave_and_without_torch_it_fails(machine: Any) -> None:
    """provision_failed names the interpreters that were started."""
    with pytest.raises(Failure, match="No Python of this machine has torch") as caught:
        machine.find([None], CUDA, install=False)
    assert caught.value.code == "provision_failed"
    assert caught.value.detail.endswith("/0/python")


def test_a_rocm_machine_without_torch_is_told_clearly(machine: Any) -> None:
    """No CUDA build is put on an AMD machine; the operator may name the build that fits."""
    with pytest.raises(Failure, match="AMD GPU and no torch that is built for ROCm"):
        machine.find([None], AMD)
    assert machine.installed is None
    assert machine.find([None], AMD, build="rocm7.2") == "/made"
    assert machine.find([None], AMD, device="cpu") == "/made"


def test_what_was_installed_is_told_with_what_the_gpu_said(machine: Any) -> None:
    """A GPU that the new torch can't use either is told with torch's own words."""
    machine.made = MADE._replace(sees_gpu=False, problem="No CUDA GPUs are available")
    machine.find([None], CUDA)
    assert machine.told[-1] == (
        "installed", "torch is ready, but can't use the GPU: No CUDA GPUs are available"
    )  # fmt: skip


@pytest.mark.parametrize("allowed", [True, False])
def test_provisioning_is_told_in_events(machine: Any, tmp_path: Path, allowed: bool) -> None:
    """The benchmark searches with the spec's orders, and the orchestrator reads what it says."""
    machine.find([CPU, None], Target(), install=False)
    orders = spec.Spec(RUN, NONCE, 60.0, provisioning=spec.Provisioning(install=allowed))
    path = tmp_path / "events"
    writer = EventWriter(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), NONCE)
    assert benchmark._find_torch(orders, writer) == str(tmp_path / "0" / "python")
    os.close(writer.fd)
    events = [event.body for event in decoded(path.read_bytes())]
    assert [event.step for event in events] == ["searching", "found"]
    assert (events[-1].torch, events[-1].interpreter) == (CPU[0], str(tmp_path / "0" / "python"))


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ({"wheels_dir": "/wheels", "build": "cu126"}, None),
        ({"wheels_dir": "~/wheels", "build": "rocm6.2.4"}, None),
        ({"wheels_dir": "wheels"}, "wheels_dir"),
        ({"wheels_dir": "--index-url"}, "wheels_dir"),
        ({"wheels_dir": "/a\nb"}, "wheels_dir"),
        ({"wheels_dir": 1}, "wheels_dir"),
        ({"build": "--pre"}, "build"),
        ({"build": "cu126 "}, "build"),
        ({"build": None}, "build"),
    ],
)
def test_orders_that_would_be_options_are_refused(orders: dict[str, Any], said: str | None) -> None:
    """What becomes an argument of pip's is a path or a build's name, and nothing else."""
    if said is None:
        read = spec._provisioning(orders)
        assert (read.wheels_dir, read.build) == (orders["wheels_dir"], orders["build"])
    else:
        with pytest.raises(ValueError, match=said):
            spec._provisioning(orders)


def test_every_code_of_provisioning_is_an_error_of_the_run() -> None:
    """What the agent may say is known to the orchestrator, and never counts against the supplier."""
    source = "".join(path.read_text() for path in Path(finding.__file__).parent.glob("*.py"))
    said = {word for word in source.split('"') if word.startswith("provision_")}
    assert said == {code for code in _AGENT_CODES if code.startswith("provision_")}
    assert {_AGENT_CODES[code].ending for code in said} == {ProvisionFailed.ending}
