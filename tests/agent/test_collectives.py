"""What GPUs do together: two real ranks on the processor, over gloo."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.domain.events import Metric
from remote_agent import processes
from remote_agent.measure import children, collectives, ranks
from remote_agent.measure.children import Answer, Lost
from remote_agent.measure.figure import Figure, as_event
from remote_agent.spec import Options
from tests.agent.instance import until

TINY = Options(batch_size=2, image_size=32, precision="fp32")
PAIR = [(0, None, "cpu"), (1, None, "cpu")]
NAMES = ["all-reduce bus bandwidth", "data-parallel training", "data-parallel efficiency"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ranks meet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def check(figures: list[Figure]) -> None:
    """The three figures, fit for the contract."""
    for figure in figures:
        Metric.model_validate(dict(as_event(figure), type="metric"))
    assert [figure.name for figure in figures] == NAMES


def kin() -> list[int]:
    """The pids of our ranks."""
    found = []
    for pid in sorted(processes.descendants(os.getpid())):
        try:
            if b"\0rank\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def test_two_ranks_reduce_and_train(folder: Path) -> None:
    """Bandwidth, images/s and efficiency come out, with their conditions, and nothing is left."""
    figures = collectives.measure(TINY, PAIR, 0.4, lambda text: None, payload=2**16)
    check(figures)
    assert all(figure.value for figure in figures), figures
    bandwidth, training, efficiency = figures
    assert bandwidth.low is not None
    assert bandwidth.value is not None
    assert bandwidth.high is not None
    assert bandwidth.low <= bandwidth.value <= bandwidth.high
    seconds = bandwidth.detail["milliseconds_a_call"] / 1000
    assert bandwidth.value == pytest.approx(2**16 / seconds / 1e9)
    assert bandwidth.configuration["backend"] == "gloo"
    assert bandwidth.configuration["bytes"] == 2**16
    assert training.configuration["ranks"] == 2
    assert training.value is not None
    assert efficiency.value == pytest.approx(training.value / 2 / training.detail["one_gpu"])
    assert kin() == []
    assert os.listdir(folder) == []


def test_a_lost_rank_fails_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that is killed ends the wait for the others at once, and takes away what was missing."""
    monkeypatch.setattr(children, "_LEAVE_SECONDS", 0.1)
    killed: list[int] = []

    def tell(text: str) -> None:
        if text.startswith("parallel") and not killed:
            killed.extend(kin())
            os.kill(killed[0], signal.SIGSTOP)
            os.kill(killed[1], signal.SIGKILL)

    figures = collectives.measure(TINY, PAIR, 0.4, tell, payload=2**16)
    check(figures)
    assert [figure.value is None for figure in figures] == [False, True, True]
    errors = {figure.detail["error"] for figure in figures[1:]}
    assert errors == {"the process ended with status -9"}
    assert kin() == []
    assert os.listdir(folder) == []


def test_a_hanging_rank_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rank does not answer in time, every figure says so, and all ranks are gone."""
    monkeypatch.setattr(children, "_LEAVE_SECONDS", 0.1)
    monkeypatch.setattr(collectives, "READY_SECONDS", 1.0)
    stopped: list[int] = []

    def tell(text: str) -> None:
        if not stopped:
            stopped.extend(until(lambda: len(kin()) == 2 and kin()))
            os.kill(stopped[1], signal.SIGSTOP)

    figures = collectives.measure(TINY, PAIR, 0.4, tell, payload=2**16)
    check(figures)
    assert {figure.detail.get("error") for figure in figures} == {"no answer in time"}
    assert kin() == []


def test_one_device_has_no_company() -> None:
    """With less than two devices there is nothing to tell."""
    assert collectives.measure(TINY, PAIR[:1], 1, lambda text: None) == []


def test_bus_bandwidth_is_as_nccl_tests_define_it() -> None:
    """2 (n - 1) / n x bytes / seconds: 448 MiB of eight ranks' 256 MiB, 256 MiB of two ranks'."""
    assert collectives.bus_bandwidth(2**28, 8, 1.0) == pytest.approx(448 * 2**20)
    assert collectives.bus_bandwidth(2**28, 2, 0.5) == pytest.approx(512 * 2**20)


def test_the_slowest_rank_counts() -> None:
    """The bandwidth is that of the slowest rank; images of all ranks add up."""
    reduced = [
        {"seconds": took, "low": took, "high": took, "calls": 9, "configuration": {}}
        for took in (0.001, 0.002)
    ]
    trained = [
        {"rate": rate, "low": rate, "high": rate, "steps": 9, "configuration": {}}
        for rate in (90.0, 90.0)
    ]
    answers = {"all-reduce": reduced, "one": [{"rate": 100.0}], "parallel": trained}
    bandwidth, training, efficiency = collectives.figures(answers, "", 2, 2**28)
    assert bandwidth.value == pytest.approx(2**28 / 0.002 / 1e9)
    assert training.value == 180
    assert efficiency.value == pytest.approx(0.9)


@pytest.mark.parametrize("uuids", [["GPU-a", "GPU-b"], ["GPU-a", None]])
def test_ranks_see_all_cards_and_stay_on_the_loopback(
    monkeypatch: pytest.MonkeyPatch, uuids: list[Any]
) -> None:
    """Every rank sees every card, named in one way, and NCCL may use no other network than lo."""
    started: list[dict[str, str]] = []

    class Rank:
        def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
            started.append(environment)
            self.pid = len(started)
            assert '"backend": "nccl"' in arguments[-1]

        def fileno(self) -> int:
            return nothing.fileno()

        def answer(self, *_: Any) -> Answer:
            raise Lost("ncclSystemError: " + "x" * 500)

        def leave(self) -> None: ...

        def end(self, seconds: float) -> None: ...

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(collectives, "Child", Rank)
    devices = [(number, uuid, "cuda") for number, uuid in enumerate(uuids)]
    with open(os.devnull) as nothing:
        figures = collectives.measure(TINY, devices, 1, lambda text: None)
    check(figures)
    assert all("ncclSystemError" in figure.detail["error"] for figure in figures)
    seen = "GPU-a,GPU-b" if uuids[1] else "0,1"
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in started] == [seen, seen]
    assert all(environment["NCCL_SOCKET_IFNAME"] == "lo" for environment in started)


class Group:
    """torch.distributed with another rank that has already decided, and adds what it is told to."""

    def __init__(self, adds: float, count: int) -> None:
        self.adds = adds
        self.count = count
        self.reduced = 0
        self.destroyed = False

    def init_process_group(self, *_: Any, **__: Any) -> None: ...

    def destroy_process_group(self) -> None:
        self.destroyed = True

    def all_reduce(self, numbers: Any) -> None:
        self.reduced += 1
        numbers += self.adds

    def broadcast(self, told: Any, source: int) -> None:
        assert source == 0
        told.fill_(self.count)


ORDERS = {
    "ranks": 2,
    "payload": 64,
    "backend": "gloo",
    "options": TINY._asdict(),
    "kind": "cpu",
    "meet": "file:///nowhere",
    "timeout": 1,
}


def test_rank_0_says_how_often_all_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rank calls as often as rank 0 found right: with counts of their own they would hang."""
    group = Group(adds=1.0, count=17)
    monkeypatch.setattr(ranks, "dist", group)
    with ranks.joined(1, ORDERS) as obey:
        answer = obey({"do": "all-reduce", "seconds": 60})
    assert answer["calls"] == 17
    assert group.reduced == 1 + 2 * ranks._WARMUP_CALLS + 17
    assert group.destroyed


def test_a_wrong_sum_is_no_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks that do not get the sum of all have measured nothing; the group is left even so."""
    group = Group(adds=0.5, count=17)
    monkeypatch.setattr(ranks, "dist", group)
    with pytest.raises(RuntimeError, match="wrong sum"), ranks.joined(1, ORDERS) as obey:
        obey({"do": "all-reduce", "seconds": 60})
    assert group.destroyed


def test_the_loss_of_parallel_training_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss scale is undone by the learning rate, so that weights move as without it."""
    moved = []
    for scale in (1.0, 128.0):
        chosen = ranks.precision.Precision("fp32", loss_scale=scale)
        choice = SimpleNamespace(choose=lambda wanted, device, chosen=chosen: chosen)
        monkeypatch.setattr(ranks, "precision", choice)
        trainer = ranks._Trainer(TINY, "cpu")
        before = trainer._model.fc.bias.detach().clone()
        trainer.step()
        moved.append(trainer._model.fc.bias.detach() - before)
        monkeypatch.undo()
    assert moved[0].abs().max() > 0
    assert (moved[1] - moved[0]).abs().max() < 1e-5 * moved[0].abs().max()
