"""
Machines to test against: a real OpenSSH sshd with its own home, and servers that misbehave.

    with sshd_machine() as machine:                  a real one; `machine.target()` logs in to it
    async with scripted_machine("silent") as ...:    asyncssh in this loop; SCRIPTS says what it does
    async with raw_machine("no_banner") as ...:      below SSH; RAW says what it does
"""

from tests.machines.raw import RAW, RawMachine, raw_machine
from tests.machines.scripted import SCRIPTS, Exec, ScriptedMachine, scripted_machine, spec_of
from tests.machines.sshd import LOOPBACK, TOOLS, SshdMachine, bin_folder, default_path, sshd_machine

__all__ = [
    "LOOPBACK",
    "RAW",
    "SCRIPTS",
    "TOOLS",
    "Exec",
    "RawMachine",
    "ScriptedMachine",
    "SshdMachine",
    "bin_folder",
    "default_path",
    "raw_machine",
    "scripted_machine",
    "spec_of",
    "sshd_machine",
]
