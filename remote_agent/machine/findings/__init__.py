"""
What is wrong with a machine or a measurement, each with a name and a sentence that says what to do.

Pure: whoever asks has read it all before. A figure stands beside a finding, never instead of one.
"""

from remote_agent.machine.findings.counters import of_health
from remote_agent.machine.findings.finding import Finding
from remote_agent.machine.findings.inventory import of_devices, of_probe
from remote_agent.machine.findings.readings import notes, of_telemetry
from remote_agent.machine.findings.steadiness import of_steps

__all__ = [
    "Finding",
    "notes",
    "of_devices",
    "of_health",
    "of_probe",
    "of_steps",
    "of_telemetry",
]
