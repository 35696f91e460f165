"""Findings from what a machine says it is, before anything of ours runs on it."""

from typing import Any, List, Mapping, Optional, Sequence

from remote_agent.machine.findings.finding import Finding, card_of, many, there
from remote_agent.machine.nvml import same_slot

_LIMIT_SHARE = 0.95
_IDLE_GB = 1.0
_SEERS = {"proc": "the kernel's driver", "pci": "the PCI bus"}


def of_probe(probe: Mapping[str, Any]) -> List[Finding]:
    """
    What is wrong with a machine, from the fields that `probe` returns.

    Codes: nvml_missing, device_order, and for each card mig_slice, power_capped, co_tenant.
    """
    found = [_missing_nvml(probe), _witnesses(probe)]
    for gpu in probe["gpus"]:
        found += [_slice(gpu), _low_limit(gpu), _occupied(gpu)]
    return there(found)


def of_devices(
    nvml_gpus: Sequence[Mapping[str, Any]],
    torch_devices: Sequence[Any],
    visible: Optional[str] = None,
) -> List[Finding]:
    """
    Whether torch's devices (with `number`, `uuid`, `bus_id`) are the cards that NVML lists, in its order.

    `visible` is CUDA_VISIBLE_DEVICES: where that is set, cards may be hidden and in any order, but each
    has to be one of NVML's. The slices of MIG have names of their own and are not compared.
    Code: device_order.
    """
    if not nvml_gpus or any(gpu.get("mig_enabled") for gpu in nvml_gpus):
        return []
    if visible is None and len(nvml_gpus) != len(torch_devices):
        told = many(len(nvml_gpus), "card", "cards")
        message = (
            f"NVML lists {told} and torch {len(torch_devices)}, though none is hidden from it."
        )
        return [Finding("device_order", message)]
    for device in torch_devices:
        one = nvml_gpus[device.number : device.number + 1]
        if not any(_is_same(gpu, device) for gpu in (one if visible is None else nvml_gpus)):
            name = device.uuid or device.bus_id
            where = f"card {device.number}" if visible is None else "any card"
            message = f"torch's device {device.number} ({name}) is not {where} of NVML's list:"
            return [Finding("device_order", f"{message} set CUDA_DEVICE_ORDER to PCI_BUS_ID.")]
    return []


def _missing_nvml(probe: Mapping[str, Any]) -> Optional[Finding]:
    if not probe["has_driver"] or probe["witnesses"]["nvml"] is not None:
        return None
    return Finding(
        "nvml_missing",
        "There is an NVIDIA driver, but its library NVML is missing or does not answer:"
        " make libnvidia-ml.so.1 of the driver's own release available.",
    )


def _witnesses(probe: Mapping[str, Any]) -> Optional[Finding]:
    """A container may see more cards than it was given. Who sees none at all may not be able to."""
    seen = probe["witnesses"]
    if seen["nvml"] is None:
        return None
    for witness, seer in _SEERS.items():
        number = seen[witness]
        hidden = probe["container"] is not None and number and number > seen["nvml"]
        if number and number != seen["nvml"] and not hidden:
            told = many(seen["nvml"], "card", "cards")
            return Finding("device_order", f"NVML lists {told}, but {seer} shows {number}.")
    return None


def _slice(gpu: Mapping[str, Any]) -> Optional[Finding]:
    if not gpu["mig_enabled"]:
        return None
    message = f"MIG is on, so {card_of(gpu)} is offered in slices: turn it off for the whole card."
    return Finding("mig_slice", message)


def _low_limit(gpu: Mapping[str, Any]) -> Optional[Finding]:
    limit, usual = gpu["power_limit_watts"], gpu["power_limit_default_watts"]
    if limit is None or usual is None or limit >= _LIMIT_SHARE * usual:
        return None
    return Finding(
        "power_capped",
        f"The power limit of {card_of(gpu)} is {limit:.0f} W, {limit / usual:.0%} of the usual"
        f" {usual:.0f} W: raise it (nvidia-smi -pl {usual:.0f}).",
    )


def _occupied(gpu: Mapping[str, Any]) -> Optional[Finding]:
    """Whose processes a container hides is seen by the memory that they occupy; a desktop is no tenant."""
    used = gpu["memory_used_gb"]
    hidden = used is not None and used > _IDLE_GB and not gpu["graphics_processes"]
    if not gpu["processes"] and not hidden:
        return None
    others = many(gpu["processes"], "process", "processes") if gpu["processes"] else "unseen work"
    memory = "" if used is None else f", with {used:.1f} GiB in use"
    message = (
        f"Before our start there was {others} of others on {card_of(gpu)}{memory}: free the card."
    )
    return Finding("co_tenant", message)


def _is_same(gpu: Mapping[str, Any], device: Any) -> bool:
    if gpu["uuid"] and device.uuid:
        return bool(gpu["uuid"].lower() == device.uuid.lower())
    if gpu["pci_bus_id"] and device.bus_id:
        return same_slot(gpu["pci_bus_id"], device.bus_id)
    return True  # nothing speaks against it
