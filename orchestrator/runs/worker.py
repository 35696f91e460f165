"""What carrying out runs needs, made once a process."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.config import Settings
from orchestrator.database.session import Database
from orchestrator.runs.cancel import Cancellations
from orchestrator.ssh import agent_archive
from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines
from orchestrator.ssh.user_ca import UserCa
from orchestrator.vault import Vault


@dataclass(frozen=True)
class Worker:
    """
    `archive` is the agent that is pushed; `cancellations` ends runs of this process that somebody cancels;
    `user_ca` signs the logins of instances that trust it.
    """

    database: Database
    vault: Vault
    settings: Settings
    name: str
    archive: AgentArchive = field(default_factory=agent_archive.pack)
    cancellations: Cancellations = field(default_factory=Cancellations)
    user_ca: UserCa | None = None

    @property
    def policy(self) -> AddressPolicy:
        return AddressPolicy(self.settings.ssh.allowed_networks)

    @property
    def deadlines(self) -> Deadlines:
        ssh = self.settings.ssh
        return Deadlines(connect=ssh.connect_timeout, login=ssh.login_timeout)
