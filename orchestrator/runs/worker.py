"""What carrying out runs needs, made once a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from orchestrator.config import Settings
from orchestrator.database.session import Database
from orchestrator.runs.cancel import Cancellations
from orchestrator.runs.scribe import Scribe
from orchestrator.ssh import agent_archive
from orchestrator.ssh.addresses import AddressPolicy, ports_of
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines
from orchestrator.ssh.gate import Gate
from orchestrator.ssh.user_ca import UserCa
from orchestrator.ssh.warm import WarmConnections
from orchestrator.vault import Vault


@dataclass(frozen=True)
class Worker:
    """
    `archive` is the agent that is pushed; `cancellations` ends runs of this process that somebody cancels;
    `user_ca` signs the logins of instances that trust it; `gate` bounds what this process has on its way out;
    `scribe` lets its runs write together.
    """

    database: Database
    vault: Vault
    settings: Settings
    name: str
    archive: AgentArchive = field(default_factory=agent_archive.pack)
    cancellations: Cancellations = field(default_factory=Cancellations)
    user_ca: UserCa | None = None
    gate: Gate = field(default_factory=Gate)
    scribe: Scribe = field(default_factory=Scribe)

    def policy_for(self, user_id: UUID) -> AddressPolicy:
        """Where we connect for this supplier."""
        ssh = self.settings.ssh
        return AddressPolicy(
            ssh.allowed_networks,
            ssh.forbidden_networks,
            tuple(ports_of(text) for text in ssh.allowed_ports),
            tenant=str(user_id),
            gate=self.gate,
        )

    @cached_property
    def warm(self) -> WarmConnections:
        """Connections of ended runs, while somebody has entered it."""
        ssh = self.settings.ssh
        return WarmConnections(ssh.warm_seconds, ssh.warm_connections)

    @property
    def deadlines(self) -> Deadlines:
        ssh = self.settings.ssh
        return Deadlines(connect=ssh.connect_timeout, login=ssh.login_timeout)
