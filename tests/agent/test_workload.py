"""What is trained and inferred: in which precision, layout and mode, and under which conditions it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from remote_agent.failure import Failure, is_out_of_memory
from remote_agent.measure import checks, figure, parts, precision, timing
from remote_agent.measure.plan import PLANS, plan_for
from remote_agent.measure.report import Report
from remote_agent.measure.workload import Inference, Training
from remote_agent.spec import PROFILES, Options

TINY = Options(batch_size=4, image_size=32, device="cpu")
HARDWARE = {
    (6, 1): ("fp32",),
    (6, 0): ("amp-fp16", "fp32"),
    (7, 0): ("amp-fp16", "fp32"),
    (7, 5): ("amp-fp16", "fp32"),
    (8, 0): ("amp-bf16", "amp-fp16", "tf32", "fp32"),
    (9, 0): ("amp-bf16", "amp-fp16", "tf32", "fp32"),
    (12, 0): ("amp-bf16", "amp-fp16", "tf32", "fp32"),
}


# On a machine with a GPU the same is asked of it in each of its modes.
ABLE = [("cpu", "eager")]
if torch.cuda.is_available():
    ABLE += [("cuda", "eager"), ("cuda", "cuda-graph"), ("cuda", "compiled")]


@pytest.fixture(autouse=True)
def flags() -> Iterator[None]:
    """torch's flags as they were."""
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("capability", HARDWARE)
def test_auto_is_the_fastest_that_the_card_has_hardware_for(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    """From Pascal to Blackwell, and unknown cards too: by compute capability, never what is only emulated."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    able = HARDWARE[capability]
    assert precision.supported("cuda") == able
    assert precision.choose("auto", "cuda").name == able[0]
    for name in {"fp32", "tf32", "amp-fp16", "amp-bf16"} - set(able):
        with pytest.raises(Failure) as caught:
            precision.choose(name, "cuda")
        assert caught.value.code == "option_unsupported"


def test_rocm_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMD's cards have no capability of NVIDIA's: bfloat16 is theirs too, TF32 is not."""
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert precision.supported("cuda") == ("amp-bf16", "amp-fp16", "fp32")


def test_tf32_is_never_silently_on() -> None:
    """Plain fp32 turns TF32 off for matrices and convolutions, every other precision turns it on."""
    for name, allowed in (("fp32", False), ("amp-bf16", True)):
        precision.choose(name, "cpu").apply()
        assert torch.backends.cuda.matmul.allow_tf32 is allowed
        assert torch.backends.cudnn.allow_tf32 is allowed


@pytest.mark.parametrize("name", ["fp32", "amp-bf16"])
def test_a_workload_runs_as_it_says(name: str) -> None:
    """Batch, layout and arithmetic are those of the configuration; training changes weights, inference none."""
    training = Training(TINY._replace(precision=name), "cpu")
    before = [weight.clone() for weight in training._model.parameters()]
    training.step()
    assert any(
        not torch.equal(a, b) for a, b in zip(before, training._model.parameters(), strict=True)
    )
    assert training._images.is_contiguous(memory_format=torch.channels_last)
    assert training._images.dtype is (torch.bfloat16 if name == "amp-bf16" else torch.float32)
    assert training.configuration["precision"] == name
    inference = Inference(TINY._replace(precision=name, channels_last=False), "cpu")
    state = {key: value.clone() for key, value in inference._model.state_dict().items()}
    inference.step()
    assert all(
        torch.equal(value, inference._model.state_dict()[key]) for key, value in state.items()
    )
    assert inference._images.is_contiguous()
    assert inference.output is not None
    assert inference.output.dtype is (torch.bfloat16 if name == "amp-bf16" else torch.float32)


@pytest.mark.parametrize(("device", "mode"), ABLE)
def test_every_mode_trains_alike(device: str, mode: str) -> None:
    """Whatever the mode, so many steps bring the loss down as eager steps of the same precision do."""
    losses = {}
    for chosen in ("eager", mode):
        training = Training(TINY._replace(device=device, mode=chosen, precision="fp32"), device)
        warm = training.warm_up(lambda *_: None, 0.01)
        timed = training.measure(warm, timing.Limits(20, 60.0, target=1.0), lambda *_: None)
        checks.losses(training, warm.steps + len(timed.steps))
        assert training.mode == chosen
        assert all(step > 0 for step in timed.steps)
        assert timed.measured_seconds == pytest.approx(timed.wall_seconds, rel=0.2, abs=0.05)
        losses[chosen] = float(training.last_loss)
        training.release()
    assert losses[mode] < 1.0
    assert losses["eager"] < 1.0


def test_a_scaled_loss_trains_the_same() -> None:
    """fp16's loss scale is undone by the learning rate: the weights move as they would without it."""
    plain, scaled = Training(TINY, "cpu"), Training(TINY, "cpu")
    scaled.precision = scaled.precision._replace(loss_scale=128.0)
    for group in scaled._optimizer.param_groups:
        group["lr"] /= 128.0
    for _ in range(2):
        plain.step()
        scaled.step()
    assert float(plain.last_loss) == pytest.approx(float(scaled.last_loss), rel=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"precision": "tf32"}, {"precision": "amp-fp16"}, {"mode": "cuda-graph"}]
)
def test_what_a_device_has_not_got_is_told(wrong: dict[str, Any]) -> None:
    """An option that the CPU can't do is a typed failure, never something else measured instead."""
    with pytest.raises(Failure) as caught:
        Training(TINY._replace(**wrong), "cpu")
    assert caught.value.code == "option_unsupported"


class Capture:
    """torch.cuda where a step runs on the CPU: it records what is captured, replayed and waited for."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[str] = []
        self.capturing = False
        self.fails = fails

    def install(self, monkeypatch: pytest.MonkeyPatch, workload_: Any) -> None:
        stream = SimpleNamespace(wait_stream=lambda other: self.told.append("wait"))
        replaced = {
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda aside: contextlib.nullcontext(),
            "synchronize": lambda: self.told.append("synchronize"),
            "is_current_stream_capturing": lambda: self.capturing,
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: self.told.append("replay")),
            "graph": self.graph,
        }
        for name, value in replaced.items():
            monkeypatch.setattr(torch.cuda, name, value)
        # The model stays on the CPU: only what decides about the mode believes in a GPU.
        once = workload_._once

        def step() -> None:
            self.told.append("captured" if self.capturing else "eager")
            workload_.device = "cpu"
            once()
            workload_.device = "cuda"

        workload_._once = workload_._run = step
        workload_.device, workload_.mode = "cuda", "cuda-graph"

    @contextlib.contextmanager
    def graph(self, graph: Any) -> Iterator[None]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.capturing = True
        yield
        self.capturing = False


def test_a_graph_is_captured_after_eager_steps_and_then_only_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eager steps beside the stream choose kernels, one step is captured, and measuring launches replays."""
    training, capture = Training(TINY, "cpu"), Capture()
    capture.install(monkeypatch, training)
    training._enter_mode()
    assert capture.told == ["wait", "eager", "eager", "eager", "wait", "synchronize", "captured"]
    training.step()
    training.step()
    assert capture.told[-2:] == ["replay", "replay"]
    training._enter_mode()  # a second warm-up captures nothing anew
    assert capture.told.count("captured") == 1


def test_a_graph_that_can_not_be_captured_is_eager_and_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Left to us the mode falls back and the configuration tells; asked for by name it is a failure."""
    training, capture = Training(TINY, "cpu"), Capture(fails=True)
    capture.install(monkeypatch, training)
    graph_hash = figure.hash_of(training.configuration)
    training._enter_mode()
    assert training.mode == "eager"
    assert "not permitted" in (training.fallback or "")
    assert figure.hash_of(training.configuration) != graph_hash
    asked, again = Training(TINY, "cpu"), Capture(fails=True)
    again.install(monkeypatch, asked)
    asked.options = asked.options._replace(mode="cuda-graph")
    with pytest.raises(Failure) as caught:
        asked._enter_mode()
    assert caught.value.code == "option_unsupported"


def test_a_capture_that_does_not_fit_is_out_of_memory_and_no_missing_mode() -> None:
    """The capture's own error hides that of the memory: it is found behind it."""
    hidden = RuntimeError("operation failed due to a previous error during capture")
    hidden.__context__ = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    assert is_out_of_memory(hidden)
    assert not is_out_of_memory(RuntimeError("operation not permitted"))


def test_every_condition_is_in_the_hash() -> None:
    """Any other batch, size, precision, layout, workload or torch is another hash; the same is the same."""
    base = Training(TINY, "cpu").configuration
    hashes = {figure.hash_of(base)}
    for name in base:
        hashes.add(figure.hash_of({**base, name: "another"}))
    assert len(hashes) == len(base) + 1
    assert figure.hash_of(dict(reversed(base.items()))) == figure.hash_of(base)
    assert figure.hash_of(Training(TINY, "cpu").configuration) == figure.hash_of(base)
    assert {"batch_size", "image_size", "precision", "channels_last", "mode", "torch"} <= set(base)


def test_a_figure_is_images_over_total_time() -> None:
    """Not the mean of rates, which steps of unequal length would raise (Jensen)."""
    training = Training(TINY, "cpu")
    told = parts.figure_of("training", training, timing.Timing([0.1, 0.3], 0.4, 0.4))
    assert told.value == pytest.approx(2 * 4 / 0.4)
    assert told.low is not None
    assert told.low < told.value
    assert told.high is None  # two steps bound nothing from above
    assert told.gpu_index is None


@pytest.mark.parametrize(
    ("first", "last", "steps", "right"),
    [
        (7.0, 2.0, 30, True),
        (7.0, 7.0, 30, False),
        (7.0, 7.5, 5, True),
        (7.0, float("nan"), 3, False),
    ],
)
def test_a_loss_that_does_not_fall_is_a_card_that_computes_wrongly(
    first: float, last: float, steps: int, right: bool
) -> None:
    """On one fixed batch the loss falls within ten steps, and it is a number; else the fastest card fails."""
    training: Any = SimpleNamespace(first_loss=first, last_loss=last)
    if right:
        checks.losses(training, steps)
        return
    with pytest.raises(Failure) as caught:
        checks.losses(training, steps)
    assert caught.value.code == "wrong_arithmetic"


def test_a_part_that_does_not_fit_is_told_and_gives_back_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Out of memory is a figure without a value, in the sweep and elsewhere, and the search goes on smaller."""
    told: list[figure.Figure] = []

    class Small(Training):
        def __init__(self, options: Options, device: str) -> None:
            if options.batch_size > 32:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
            super().__init__(options, device)

    released: list[int] = []
    monkeypatch.setattr(parts, "release", lambda: released.append(1))
    report: Any = SimpleNamespace(figure=told.append, quiet=lambda *_: None)
    monkeypatch.setattr(parts, "_TRIAL_SECONDS", 0.05)
    monkeypatch.setattr(parts, "_BEST_SECONDS", 0.05)
    plan = PLANS["standard"]._replace(sweep=60.0)
    (best,) = parts.best(Small, TINY._replace(image_size=16), "cpu", plan, report)
    assert best.value is not None
    assert best.configuration["batch_size"] == 32
    trouble = [trial.detail for trial in told if trial.value is None]
    assert trouble[0]["error"] == "out of memory"
    assert trouble[0]["batch_size"] == 64
    assert len(released) >= len(told)


def test_profiles_grow_and_a_budget_bounds_every_part() -> None:
    """`standard` has all that `quick` has and more, and a budget shortens each part and adds none."""
    assert set(PLANS) == set(PROFILES)
    quick, standard, full = (PLANS[name] for name in ("quick", "standard", "full"))
    for small, large in ((quick, standard), (standard, full)):
        assert all(a <= b for a, b in zip(small, large, strict=True))
    assert sum(value for value in quick if not isinstance(value, bool)) < 40
    assert plan_for(Options(profile="full")) == full
    bounded = plan_for(Options(profile="full", budget_seconds=3.0))
    assert all(value in (True, min(old, 3.0)) for value, old in zip(bounded, full, strict=True))


def test_a_finding_is_told_once() -> None:
    """The same code of the same card twice is one warning; another card's is another."""
    told: list[dict[str, Any]] = []
    events: Any = SimpleNamespace(emit=lambda kind, **fields: told.append({"type": kind, **fields}))
    report = Report(events, lambda: None)
    for code, place in (("throttled", 0), ("throttled", 0), ("throttled", 3), ("co_tenant", 0)):
        report.finding(code, "a sentence", place)
    assert [each["code"] for each in told] == ["throttled", "throttled", "co_tenant"]
