"""What a machine says it is: a made-up root folder and a scripted driver stand in for a real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_agent.events import EventWriter
from remote_agent.machine import cards, nvml, probe, surroundings, witnesses
from tests.agent.driver import Driver, card, scripted
from tests.agent.instance import NONCE, decoded, naming, until

DEVICE = "sys/bus/pci/devices"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A machine with NVML."""
    with scripted(tmp_path) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root folder of a made-up machine."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def put(root: Path, path: str, text: str = "") -> None:
    """Writes a file of the made-up machine."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def put_device(root: Path, slot: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    """Puts a device onto the PCI bus."""
    put(root, f"{DEVICE}/{slot}/vendor", f"{vendor}\n")
    put(root, f"{DEVICE}/{slot}/class", f"{kind}\n")


def probed(tmp_path: Path, root: str = "/") -> Any:
    """The probe as the orchestrator decodes it."""
    path = tmp_path / "events"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    EventWriter(fd, NONCE).emit("probe", **probe.probe(root))
    os.close(fd)
    return decoded(path.read_bytes())[0].body


def test_a_probe_tells_all_of_the_contract(driver: Driver, tmp_path: Path, root: Path) -> None:
    """Every field of a card and of the machine arrives at the orchestrator, in the contract's units."""
    driver.play(card(pids=[os.getppid()]), card(1, name="NVIDIA A10", persistence=0, ecc=0, mig=1))
    put(root, "proc/sys/kernel/osrelease", "6.8.0-41-generic\n")
    put(root, "proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9554\n")
    put(root, "proc/meminfo", "MemTotal:       1048576 kB\n")
    put(root, ".dockerenv")
    for slot in ("0000:3b:00.0", "0000:3c:00.0"):
        put(root, f"proc/driver/nvidia/gpus/{slot}/information")
        put_device(root, slot)
    body = probed(tmp_path, str(root))
    assert body.gpus[0].model_dump() == {
        "index": 0, "name": "NVIDIA H100 80GB HBM3", "uuid": card()["uuid"],
        "pci_bus_id": "00000000:3B:00.0", "memory_total_gb": 80.0, "memory_free_gb": 79.49,
        "compute_capability": "9.0", "mig_enabled": False, "persistence": True,
        "ecc_enabled": True, "power_limit_watts": 700.0, "power_limit_default_watts": 700.0,
        "pcie_generation_max": 5, "pcie_width_max": 16, "processes": 1, "vbios": "96.00.74.00.01",
    }  # fmt: skip
    second = body.gpus[1]
    assert (second.mig_enabled, second.persistence, second.ecc_enabled) == (True, False, False)
    assert (body.gpu_name, body.gpu_count) == ("NVIDIA H100 80GB HBM3", 2)
    assert (body.driver_version, body.cuda_version) == ("560.35", "12.6")
    assert body.witnesses.model_dump() == {"nvml": 2, "proc": 2, "pci": 2, "torch": None}
    assert (body.cpu_model, body.ram_gb) == ("AMD EPYC 9554", 1.0)
    assert (body.container, body.kernel) == ("docker", "6.8.0-41-generic")
    assert body.disk_space_gb > 0
    assert body.cpu_count >= 1


@pytest.mark.parametrize(
    "missing",
    [
        "GetCount",
        "nvmlInit",
        "GetName UUID PciInfo MemoryInfo DriverVersion CudaDriverVersion Capability Mode Limit"
        " MaxPcieLinkGeneration MaxPcieLinkWidth RunningProcesses VbiosVersion",
    ],
)
def test_a_probe_decodes_whatever_the_driver_tells(
    driver: Driver, tmp_path: Path, missing: str
) -> None:
    """What NVML can't tell is null, never 0."""
    driver.play(card(), card(1), missing=missing)
    body = probed(tmp_path)
    assert body.driver_version is None
    if missing in ("GetCount", "nvmlInit"):
        assert (body.gpu_name, body.gpu_count, body.gpus) == (None, None, [])
        assert body.witnesses.nvml is None
    else:
        assert (body.gpu_name, body.gpu_count) == ("unknown", 2)
        told = body.gpus[1].model_dump(exclude={"index", "name"})
        assert set(told.values()) == {None}


@pytest.mark.parametrize(("missing", "watts"), [("", 450.0), ("EnforcedPowerLimit", 700.0)])
def test_the_limit_that_is_enforced_comes_first(driver: Driver, missing: str, watts: float) -> None:
    """Somebody else than nvidia-smi may hold a card lower; older drivers know the set limit alone."""
    driver.play(card(limit=450, limit_set=700), missing=missing)
    assert probe.probe()["gpus"][0]["power_limit_watts"] == watts


def test_a_big_machine_still_fits_into_an_event(driver: Driver, tmp_path: Path) -> None:
    """The count is the machine's, the list is bounded."""
    driver.play(*map(card, range(70)))
    body = probed(tmp_path)
    assert (body.gpu_count, len(body.gpus)) == (70, 64)


def test_a_driver_that_hangs_costs_only_its_fields(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer in time the child is killed, and the probe has all else."""
    driver.play(card(), hangs="nvmlDeviceGetCount")
    monkeypatch.setattr(cards, "ASK_SECONDS", 0.5)
    began = time.monotonic()
    found = probe.probe()
    assert time.monotonic() - began < 10
    assert (found["gpu_count"], found["gpus"], found["witnesses"]["nvml"]) == (None, [], None)
    assert found["ram_gb"] > 0
    until(lambda: not naming(f"sample\0{os.getpid()}"))


def test_a_probe_imports_neither_torch_nor_nvml(driver: Driver) -> None:
    """The machine is described before torch is looked for; NVML is asked in a child."""
    driver.play(card())
    script = (
        "import sys; from remote_agent.machine import probe; found = probe.probe();"
        "print(found['gpu_count'], sorted({'torch', 'pynvml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "1 []\n", done.stderr


def test_a_torch_is_found_by_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which interpreters have a torch is told without running any, with its release."""
    python = tmp_path / "venv" / "bin" / "python"
    put(tmp_path, "venv/bin/python", "#!/bin/sh\ntouch ran\n")
    python.chmod(0o755)
    put(tmp_path, "venv/pyvenv.cfg", "home = /usr/bin\n")
    modules = "venv/lib/python3.10/site-packages/torch"
    put(tmp_path, f"{modules}/__init__.py")
    put(tmp_path, f"{modules}/version.py", "__version__ = '2.4.1+cu124'\n")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    assert {"interpreter": str(python), "torch": "2.4.1+cu124"} in probe.probe()["torch_installs"]
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize(
    ("path", "text", "environ", "kind"),
    [
        (".dockerenv", "", {}, "docker"),
        ("run/.containerenv", "", {}, "podman"),
        (".dockerenv", "", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ("proc/1/cgroup", "11:cpu:/kubepods/burstable/pod1\n", {}, "kubernetes"),
        ("proc/1/cgroup", "0::/system.slice/docker-12ab.scope\n", {}, "docker"),
        ("proc/self/cgroup", "0::/lxc.payload.101/init\n", {}, "lxc"),
        ("run/systemd/container", "systemd-nspawn\n", {}, "systemd-nspawn"),
        ("proc/1/cgroup", "0::/\n", {"container": "lxc"}, "lxc"),
        (".singularity.d/env", "", {}, "apptainer"),
        (
            "proc/self/mountinfo",
            "1 2 8:1 /var/lib/docker/containers/12ab/hosts /etc/hosts rw - ext4 /dev/sda rw\n",
            {},
            "docker",
        ),
        # A host that runs containers is none.
        (
            "proc/self/mountinfo",
            "1 2 0:9 / /var/lib/docker/overlay2/12ab/merged rw - overlay overlay rw\n",
            {},
            None,
        ),
        ("proc/1/cgroup", "0::/init.scope\n", {}, None),
    ],
)
def test_a_container_is_known_by_its_traces(
    root: Path, path: str, text: str, environ: dict[str, str], kind: str | None
) -> None:
    """What a runtime leaves in files, cgroups and the environment says which it is."""
    put(root, path, text)
    assert surroundings.container(str(root), environ) == kind


def test_the_c_library_is_told_where_it_is_gnus(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's builds need GNU's; another one is None."""
    assert surroundings.glibc() == os.confstr("CS_GNU_LIBC_VERSION").split()[1]

    def unknown(name: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", unknown)
    monkeypatch.setattr(surroundings.platform, "libc_ver", lambda: ("", ""))
    assert surroundings.glibc() is None


def test_witnesses_count_cards_alone(root: Path) -> None:
    """Of the bus NVIDIA's display and 3D controllers count; neither sound nor bridges, nor virtual parts."""
    assert (witnesses.loaded(str(root)), witnesses.on_bus(str(root))) == (None, None)
    (root / DEVICE).mkdir(parents=True)
    assert witnesses.on_bus(str(root)) == 0
    put_device(root, "0000:3b:00.0")
    put_device(root, "0000:3b:00.1", kind="0x040300")
    put_device(root, "0000:3c:00.0", kind="0x030000")
    put_device(root, "0000:05:00.0", kind="0x068000")
    put_device(root, "0000:01:00.0", vendor="0x1002", kind="0x030000")
    put_device(root, "0000:3b:00.4")
    (root / DEVICE / "0000:3b:00.4" / "physfn").symlink_to("../0000:3b:00.0")
    assert witnesses.on_bus(str(root)) == 2
    put(root, "proc/driver/nvidia/gpus/0000:3b:00.0/information")
    assert witnesses.loaded(str(root)) == 1


def test_a_driver_is_seen_in_the_root(root: Path) -> None:
    """The files of a driver are looked for where the machine begins."""
    assert not nvml.has_driver(str(root))
    put(root, "proc/driver/nvidia/version")
    assert nvml.has_driver(str(root))


def test_a_cgroup_bounds_memory_and_processors(root: Path) -> None:
    """No more is told than the container may use."""
    put(root, "proc/meminfo", "MemTotal:       8388608 kB\n")
    assert probe.ram_bytes(str(root)) == 8 * 2**30
    put(root, "sys/fs/cgroup/memory.max", "1073741824\n")
    put(root, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert probe.ram_bytes(str(root)) == 2**30
    assert probe.cpu_count(str(root)) == 1
