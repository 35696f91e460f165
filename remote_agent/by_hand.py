"""By hand on the machine itself: measure, show it, submit it."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from typing import Any, Dict, List, Optional

from remote_agent import VERSION, own_code, processes, submission
from remote_agent.spec import DEVICES, MODES, PRECISIONS, PROFILES, Options, Provisioning

_KEY = "HARBORX_API_KEY"
_DEADLINE_SECONDS = 3600
_TAIL_BYTES = 4000
PASSED, ERROR, TEST_FAILED = 0, 1, 3


def by_hand(arguments: List[str]) -> int:
    """Returns 0 after a submitted result, 3 after a submitted failure, 1 where neither arrived."""
    args = _parse(arguments)
    api_key = args.api_key or os.environ.get(_KEY)
    if not api_key:
        return _complain(f"An API key is needed: --api-key, or the variable {_KEY}.")
    try:
        submission.check_address(args.api_url)
    except ValueError as error:
        return _complain(f"{error}.")
    try:
        outcome = _run(_options(args))
    except KeyboardInterrupt:
        return _complain("Stopped. Nothing was submitted.")
    payload = dict(outcome, gpu_instance_id=args.gpu_instance_id)
    print(json.dumps(payload, indent=2), flush=True)
    try:
        answer = submission.submit(args.api_url, api_key, payload)
    except submission.SubmissionFailed as error:
        return _complain(f"{error}. The result above was not submitted.")
    _say(f"Submitted: {answer}")
    return TEST_FAILED if "error_message" in outcome else PASSED


def _parse(arguments: List[str]) -> argparse.Namespace:
    usual = Options()
    parser = argparse.ArgumentParser(
        prog="harborx-agent",
        description="Train ResNet-50 on this machine, measure it, and submit the result.",
        epilog="Ends with 0 when the result was submitted, 3 when the benchmark failed (and that "
        "was submitted), 1 otherwise. The result is also printed as JSON on stdout.",
    )
    add = parser.add_argument
    add("--gpu-instance-id", required=True, help="the instance's id, as the dashboard shows it")
    add("--api-url", required=True, help="where to submit: the address of submit-test-results")
    add("--api-key", help=f"your key; better in the variable {_KEY}, where `ps` can't show it")
    number = _positive
    add("--batch-size", type=number, default=usual.batch_size, help="images a step (%(default)s)")
    add("--num-epochs", type=number, default=usual.num_epochs, help="of 1000 images (%(default)s)")
    add("--image-size", type=number, default=usual.image_size, help="pixels a side (%(default)s)")
    add("--device", choices=DEVICES, default=usual.device,
        help="auto is the GPU where there is one (%(default)s)")  # fmt: skip
    add("--precision", choices=PRECISIONS, default=usual.precision,
        help="auto is the fastest that the device has hardware for (%(default)s)")  # fmt: skip
    add("--mode", choices=MODES, default=usual.mode,
        help="auto is a CUDA graph on a GPU, eager on a CPU (%(default)s)")  # fmt: skip
    add("--profile", choices=PROFILES, default=usual.profile,
        help="what is measured beside the training (%(default)s)")  # fmt: skip
    add("--channels-first", action="store_true", help="images as NCHW in memory, which is slower")
    add("--budget", type=float, metavar="SECONDS", help="no part is measured for longer")
    add("--version", action="version", version=VERSION)
    return parser.parse_args(arguments)


def _options(args: argparse.Namespace) -> Options:
    return Options(
        args.batch_size,
        args.num_epochs,
        args.image_size,
        args.device,
        args.precision,
        not args.channels_first,
        args.mode,
        args.profile,
        args.budget,
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _run(options: Options) -> Dict[str, Any]:
    """The benchmark as a child; its result, or `error_message` with what is known."""
    folder = tempfile.mkdtemp(prefix="harborx-")
    run_id, nonce = str(uuid.uuid4()), uuid.uuid4().hex
    orders = {
        "run_id": run_id,
        "nonce": nonce,
        "deadline_seconds": _DEADLINE_SECONDS,
        "options": options._asdict(),
        "provision": Provisioning(install=True)._asdict(),
    }
    try:
        with open(os.path.join(folder, "spec.json"), "w", encoding="utf-8") as file:
            json.dump(orders, file)
        return _watch(folder, run_id, nonce, options)
    finally:
        processes.end(lambda: processes.bearers(run_id), 2.0)
        shutil.rmtree(folder, ignore_errors=True)


def _watch(folder: str, run_id: str, nonce: str, options: Options) -> Dict[str, Any]:
    # The key is ours alone: the child measures and has no use for it.
    environ = {name: value for name, value in os.environ.items() if name != _KEY}
    environ[processes.COOKIE] = run_id
    log_path = os.path.join(folder, "stderr.log")
    reader = _Reader(nonce)
    with open(log_path, "w+b") as log:
        argv = own_code.command(sys.executable, "benchmark", folder)
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environ
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                reader.read(line)
        if reader.outcome is None:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            tail = log.read().decode("utf-8", "replace")
            message = f"The benchmark ended with status {child.returncode} and no result.\n{tail}"
            reader.outcome = {"error_message": message.strip()}
    if "error_message" in reader.outcome:
        system = {"system_telemetry": reader.system}
        return {"test_type": "resnet50", **_sizes(options), **system, **reader.outcome}
    return reader.outcome


def _sizes(options: Options) -> Dict[str, int]:
    return {name: getattr(options, name) for name in ("batch_size", "num_epochs", "image_size")}


class _Reader:
    """Turns the benchmark's events into lines for a person, and keeps how it ended."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self.outcome: Optional[Dict[str, Any]] = None
        self.system: Dict[str, Any] = {}
        self._figures: List[Dict[str, Any]] = []
        self._findings: List[Dict[str, Any]] = []

    def read(self, line: bytes) -> None:
        """Takes one line of the child's output."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict) or event.get("nonce") != self._nonce:
            return
        show = getattr(self, "_on_" + str(event["type"]), None)
        if show is not None:
            show(event)

    def _on_probe(self, event: Dict[str, Any]) -> None:
        names = "ram_gb", "cpu_count", "disk_space_gb", "gpu_name", "gpu_count", "cuda_version"
        self.system = {name: event[name] for name in names}
        _say(f"This machine: {event['gpu_name'] or event['cpu_model'] or 'unknown'}")

    def _on_provision(self, event: Dict[str, Any]) -> None:
        where = f" ({event['interpreter']})" if event.get("interpreter") else ""
        _say(event["message"] + where)

    def _on_progress(self, event: Dict[str, Any]) -> None:
        phase = {"warmup": "Warming up", "measure": "Measuring"}[event["phase"]]
        rate = event["images_per_sec"]
        speed = f", {rate:.1f} images/s" if rate is not None else ""
        _say(f"{phase}: {event['done']} of {event['total']} images{speed}")

    def _on_warning(self, event: Dict[str, Any]) -> None:
        _say(f"Warning: {event['message']}")
        self._findings.append({name: event[name] for name in ("code", "message")})

    def _on_metric(self, event: Dict[str, Any]) -> None:
        value = "not measured" if event["value"] is None else f"{event['value']:,.2f}"
        where = "" if event["gpu_index"] is None else f" (GPU {event['gpu_index']})"
        _say(f"{event['name']}{where}: {value} {event['unit']}")
        self._figures.append(_without_envelope(event))

    def _on_failed(self, event: Dict[str, Any]) -> None:
        _say(f"Failed: {event['message']}")
        self.outcome = {"error_message": f"{event['code']}: {event['message']}"}
        self.outcome["raw_results"] = {"detail": event["detail"]}

    def _on_result(self, event: Dict[str, Any]) -> None:
        _say(f"Done: {event['throughput_samples_per_sec']:.1f} images/s")
        self.outcome = _without_envelope(event)
        beside = {"figures": self._figures, "findings": self._findings}
        self.outcome["raw_results"] = dict(event.get("raw_results", {}), **beside)


def _without_envelope(event: Dict[str, Any]) -> Dict[str, Any]:
    envelope = ("v", "nonce", "seq", "t", "type")
    return {name: value for name, value in event.items() if name not in envelope}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _complain(text: str) -> int:
    _say(text)
    return ERROR
