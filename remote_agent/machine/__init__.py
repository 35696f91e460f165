"""What the machine is and what its GPUs do: told by NVML, the kernel and PCI, without torch."""
