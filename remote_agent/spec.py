"""What to run: the orchestrator's one line of JSON, checked before anything is done with it."""

import json
import math
import re
from typing import Any, Dict, NamedTuple, Optional, Pattern, Tuple

SAMPLES_PER_EPOCH = 1000
EVENTS_BYTES = 64 * 2**20
STDERR_BYTES = 2**20

_NONCE = re.compile(r"[0-9a-f]{32}")
_RELEASE = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,63}")
_BUILD = re.compile(r"auto|cpu|cu[0-9]{2,3}|rocm[0-9]+(\.[0-9]+){0,2}")
_FOLDER = re.compile(r"(/|~/)[^\x00-\x1f]{0,4000}")
_RUN_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


DEVICES = ("auto", "cuda", "cpu")
PRECISIONS = ("auto", "fp32", "tf32", "amp-bf16", "amp-fp16")
MODES = ("auto", "eager", "cuda-graph", "compiled")
PROFILES = ("quick", "standard", "full", "soak")


class Options(NamedTuple):
    """
    What to measure. `image_size` is the side in pixels; `budget_seconds` bounds the measuring of the
    requested training (None: as the profile has it), the other words are those of the tuples above.
    """

    batch_size: int = 32
    num_epochs: int = 1
    image_size: int = 224
    device: str = "auto"
    precision: str = "auto"
    channels_last: bool = True
    mode: str = "auto"
    profile: str = "quick"
    budget_seconds: Optional[float] = None

    @property
    def steps(self) -> int:
        """Steps to measure: an epoch is 1,000 samples in whole batches."""
        return self.num_epochs * math.ceil(SAMPLES_PER_EPOCH / self.batch_size)


class Provisioning(NamedTuple):
    """
    Whether torch may be installed, which release, and from where: a folder of the machine with wheels,
    else an index, in whose address {build} stands for the build, else the machine's own index.
    `build` is auto, cpu, or a name such as cu126.
    """

    install: bool = False
    torch: str = "2.13.0"
    index_url: Optional[str] = None
    wheels_dir: Optional[str] = None
    build: str = "auto"


class Spec(NamedTuple):
    """One run's orders; `events_bytes` and `stderr_bytes` bound the two output files."""

    run_id: str
    nonce: str
    deadline_seconds: float
    options: Options = Options()
    provisioning: Provisioning = Provisioning()
    events_bytes: int = EVENTS_BYTES
    stderr_bytes: int = STDERR_BYTES


def is_run_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical form, thus safe as the name of a folder."""
    return _RUN_ID.fullmatch(text) is not None


def parse(text: str) -> Spec:
    """The spec in `text`. Raises `ValueError` with a sentence that says what is wrong."""
    try:
        raw = json.loads(text)
    except RecursionError:
        raise ValueError("the spec is nested too deep") from None
    if not isinstance(raw, dict):
        raise ValueError("the spec is not a JSON object")
    limits = _object(raw, "limits")
    run_id, nonce = raw.get("run_id"), raw.get("nonce")
    if not isinstance(run_id, str) or not is_run_id(run_id):
        raise ValueError("the spec's run_id is not a UUID")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise ValueError("the spec's nonce is not 32 hex digits")
    return Spec(
        run_id=run_id,
        nonce=nonce,
        deadline_seconds=_deadline(raw),
        options=_options(_object(raw, "options")),
        provisioning=_provisioning(_object(raw, "provision")),
        events_bytes=_integer(limits, "events_bytes", EVENTS_BYTES, 2**34),
        stderr_bytes=_integer(limits, "stderr_bytes", STDERR_BYTES, 2**30),
    )


def _deadline(raw: Dict[str, Any]) -> float:
    value: Any = raw.get("deadline_seconds")
    if type(value) not in (int, float) or not 0 < value <= 7 * 86_400:
        raise ValueError("the spec's deadline_seconds is not between 0 and a week")
    return float(value)


def _options(raw: Dict[str, Any]) -> Options:
    usual = Options()
    channels_last = raw.get("channels_last", usual.channels_last)
    if not isinstance(channels_last, bool):
        raise ValueError("the spec's channels_last is not true or false")
    return Options(
        batch_size=_integer(raw, "batch_size", usual.batch_size, 65_536),
        num_epochs=_integer(raw, "num_epochs", usual.num_epochs, 10_000),
        image_size=_integer(raw, "image_size", usual.image_size, 4096),
        device=_word(raw, "device", DEVICES, usual.device),
        precision=_word(raw, "precision", PRECISIONS, usual.precision),
        channels_last=channels_last,
        mode=_word(raw, "mode", MODES, usual.mode),
        profile=_word(raw, "profile", PROFILES, usual.profile),
        budget_seconds=_budget(raw),
    )


def _budget(raw: Dict[str, Any]) -> Optional[float]:
    value: Any = raw.get("budget_seconds")
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= 86_400:
        raise ValueError("the spec's budget_seconds is not between 0 and a day")
    return float(value)


def _provisioning(raw: Dict[str, Any]) -> Provisioning:
    usual = Provisioning()
    install = raw.get("install", usual.install)
    release = raw.get("torch", usual.torch)
    index_url = raw.get("index_url")
    if not isinstance(install, bool):
        raise ValueError("the spec's provision.install is not true or false")
    if not isinstance(release, str) or not _RELEASE.fullmatch(release):
        raise ValueError("the spec's provision.torch is not a release number")
    # It becomes an argument of pip's and must not be taken for an option.
    if index_url is not None and not (isinstance(index_url, str) and index_url[:4] == "http"):
        raise ValueError("the spec's provision.index_url is not an address")
    wheels_dir, build = raw.get("wheels_dir"), raw.get("build", usual.build)
    if wheels_dir is not None and not _matches(_FOLDER, wheels_dir):
        raise ValueError("the spec's provision.wheels_dir is not the path of a folder")
    if not _matches(_BUILD, build):
        raise ValueError("the spec's provision.build is not auto, cpu or the name of a build")
    return Provisioning(install, release, index_url, wheels_dir, build)


def _matches(pattern: Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _object(raw: Dict[str, Any], name: str) -> Dict[str, Any]:
    value = raw.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"the spec's {name} is not an object")
    return value


def _word(raw: Dict[str, Any], name: str, known: Tuple[str, ...], default: str) -> str:
    value = raw.get(name, default)
    if value not in known:
        raise ValueError(f"the spec's {name} is not {', '.join(known[:-1])} or {known[-1]}")
    return str(value)


def _integer(raw: Dict[str, Any], name: str, default: int, largest: int) -> int:
    value = raw.get(name, default)
    if type(value) is not int or not 1 <= value <= largest:
        raise ValueError(f"the spec's {name} is not a number from 1 to {largest}")
    return value
