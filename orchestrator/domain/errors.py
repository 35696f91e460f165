"""
Everything that can go wrong, as one tree and one catalogue.

    HarborxError                     internal_error
    ├─ ConfigError                  config_invalid
    ├─ DatabaseError                database_error
    │  ├─ DatabaseUnavailable       database_unavailable *
    │  └─ SchemaMismatch            schema_mismatch
    ├─ VaultError                   vault_error
    │  └─ VaultUnavailable          vault_unavailable *
    ├─ RunTakenOver                 run_taken_over
    ├─ RequestError                 request_invalid
    │  ├─ InvalidInput              invalid_input
    │  ├─ NotAuthenticated          not_authenticated
    │  ├─ NotAllowed                not_allowed
    │  ├─ NotFound                  not_found
    │  ├─ AlreadyOnboarded          already_onboarded
    │  ├─ AccountExists             account_exists
    │  ├─ RunInProgress             run_in_progress
    │  ├─ InventoryOfInstance       inventory_of_instance
    │  ├─ HostKeyNotOffered         host_key_not_offered
    │  ├─ TooManyChecks             too_many_checks
    │  ├─ TooManyAttempts           too_many_attempts
    │  ├─ TooManyContacts           too_many_contacts
    │  ├─ AddressTooLong            address_too_long
    │  ├─ BodyTooLarge              body_too_large
    │  ├─ BodyTooSlow               body_too_slow
    │  ├─ BodyNotJson               body_not_json
    │  ├─ MethodNotAllowed          method_not_allowed
    │  ├─ NotAcceptable             not_acceptable
    │  ├─ TooManyRequests           too_many_requests
    │  ├─ WrongHost                 wrong_host
    │  ├─ AlreadyFired              already_fired
    │  └─ KeyReused                 idempotency_key_reused
    └─ RunError                     internal_error
       ├─ ConnectError              connect_failed
       │  ├─ HostUnreachable        host_unreachable *
       │  ├─ AddressForbidden       address_forbidden
       │  ├─ HostKeyChanged         host_key_changed
       │  ├─ CredentialUnusable     credential_unusable
       │  ├─ LoginRefused           login_refused
       │  └─ ConnectionLost         connection_lost *
       ├─ LaunchError               launch_failed
       │  ├─ PushFailed             push_failed *
       │  ├─ PythonMissing          python_missing
       │  ├─ GpuBusy                gpu_busy +
       │  ├─ MachineBusy            machine_busy +
       │  └─ LaunchFailed           launch_failed *
       ├─ RunCancelled              cancelled
       ├─ AgentError                agent_failed
       │  ├─ ProvisionFailed        provision_failed
       │  ├─ ProvisionDiskFull      provision_disk_full
       │  ├─ ProvisionNoNetwork     provision_no_network
       │  ├─ ProvisionGlibcOld      provision_glibc_old
       │  ├─ ProvisionPythonUnfit   provision_python_unfit
       │  ├─ OutOfMemory            out_of_memory
       │  ├─ WrongArithmetic        wrong_arithmetic
       │  ├─ OptionUnsupported      option_unsupported
       │  ├─ AgentCrashed           agent_crashed
       │  ├─ AgentTimedOut          agent_timed_out
       │  ├─ HostRebooted           host_rebooted
       │  ├─ RunFolderLost          run_folder_lost
       │  ├─ DiskFull               disk_full
       │  ├─ OutputRefused          output_refused
       │  └─ OutputFlood            output_flood
       └─ Misjudged                 verdict_failed
          ├─ GpuMissing             gpu_missing
          ├─ GpuMismatch            gpu_mismatch
          ├─ GpuCountMismatch       gpu_count_mismatch
          ├─ ResultImplausible      result_implausible
          ├─ ClockDisagrees         clock_disagrees
          └─ SubmissionIncomplete   submission_incomplete
                                     (* = worth another try, + = put off while it may pass)

Every class carries a stable `code`, one sentence of what happened, and a remedy; an instance adds
`detail` (this case) and `evidence` (what was seen). The code is what is stored, answered and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

Ending = Literal["failed", "inconclusive", "cancelled"]


class HarborxError(Exception):
    """Root of the tree. `str(error)` is the sentence followed by the detail of this case."""

    code: ClassVar[str] = "internal_error"
    sentence: ClassVar[str] = "Something went wrong inside the orchestrator."
    remedy: ClassVar[str] = "Try again; if it repeats, report it with the run id and the log."
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, evidence: Mapping[str, Any] | None = None) -> None:
        self.detail = detail
        self.evidence: dict[str, Any] = dict(evidence or {})
        super().__init__(f"{self.sentence} {detail}".strip())


class ConfigError(HarborxError):
    code = "config_invalid"
    sentence = "The configuration can't be used."
    remedy = (
        "Compare with config.example.toml; `harborx config show` prints where each value came from."
    )


class DatabaseError(HarborxError):
    code = "database_error"
    sentence = "The database refused the operation."
    remedy = "The server's log has the statement; report it if the schema is up to date."


class DatabaseUnavailable(DatabaseError):
    code = "database_unavailable"
    sentence = "PostgreSQL can't be reached."
    remedy = "Check database.url and that the server runs; leave database.url unset for the embedded server."
    retryable = True


class SchemaMismatch(DatabaseError):
    code = "schema_mismatch"
    sentence = "The database is on another schema version than this program."
    remedy = "Run `harborx db init`; it creates what is missing and says so if it can't."


class VaultError(HarborxError):
    code = "vault_error"
    sentence = "A stored secret can't be sealed or opened."
    remedy = "Give this process every key in use: `harborx keys status` names them; vault.key_file is the current one, vault.previous_keys_dir holds others."


class VaultUnavailable(VaultError):
    code = "vault_unavailable"
    sentence = "The service that keeps the vault's key can't be reached."
    remedy = "Check vault.transit_address and that the service is up and unsealed."
    retryable = True


class RunTakenOver(HarborxError):
    """Zero rows were updated under our epoch: another worker owns the run and this one stops."""

    code = "run_taken_over"
    sentence = "Another worker owns this run now."
    remedy = "Nothing to do: the other worker carries it on."


class RequestError(HarborxError):
    """A caller's mistake; `http_status` is how the API answers it."""

    code = "request_invalid"
    sentence = "The request can't be carried out."
    remedy = "Correct the request and send it again."
    http_status: ClassVar[int] = 400


class InvalidInput(RequestError):
    """`evidence["field"]` names what is not valid, where one thing is to blame."""

    code = "invalid_input"
    sentence = "The input is not valid."
    remedy = "Correct the named fields and send the request again."

    def __init__(
        self,
        detail: str = "",
        *,
        field: str | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        named = {} if field is None else {"field": field}
        super().__init__(detail, evidence={**named, **(evidence or {})})


class NotAuthenticated(RequestError):
    code = "not_authenticated"
    sentence = "The request carries no valid login."
    remedy = "Sign in again, or send a valid API key."
    http_status = 401


class NotAllowed(RequestError):
    code = "not_allowed"
    sentence = "This login may not do that."
    remedy = "Use a key or an account with the needed scope."
    http_status = 403


class NotFound(RequestError):
    code = "not_found"
    sentence = "There is no such thing here."
    remedy = "Check the id; only your own instances, runs and results can be seen."
    http_status = 404


class AlreadyOnboarded(RequestError):
    code = "already_onboarded"
    sentence = "An instance with this instance_id is onboarded already."
    remedy = "Request a test of the existing instance, or onboard with another instance_id."
    http_status = 409


class AccountExists(RequestError):
    code = "account_exists"
    sentence = "There is an account with this e-mail address already."
    remedy = "Sign in with it, or sign up with another address."
    http_status = 409


class RunInProgress(RequestError):
    """`evidence["run_id"]` names the unfinished run."""

    code = "run_in_progress"
    sentence = "A test of this instance is in progress already."
    remedy = "Watch the run in progress, or wait until it has ended."
    http_status = 409


class HostKeyNotOffered(RequestError):
    code = "host_key_not_offered"
    sentence = "This is not the host key that the machine shows."
    remedy = "Look at the key on offer again: it may have changed since, or been taken already."
    http_status = 409


class TooManyChecks(RequestError):
    code = "too_many_checks"
    sentence = "Too many connection checks of yours are under way."
    remedy = "Wait until one has ended; each ends within two minutes."
    http_status = 429


class TooManyAttempts(RequestError):
    """`evidence["retry_after"]` is for how many seconds nothing more is tried."""

    code = "too_many_attempts"
    sentence = "There were too many attempts; this one was not looked at."
    remedy = "Wait for as many seconds as Retry-After says, then try once more."
    http_status = 429


class TooManyContacts(RequestError):
    """`evidence["retry_after"]` is in how many seconds the next one is granted."""

    code = "too_many_contacts"
    sentence = "You have had us contact as many machines as an hour allows."
    remedy = "Wait for as many seconds as Retry-After says; a machine whose last test has logged in does not count."
    http_status = 429


class AddressTooLong(RequestError):
    code = "address_too_long"
    sentence = "The request's address is too long."
    remedy = "Send at most 8 KiB of path and query; long texts belong into a body."
    http_status = 414


class BodyTooLarge(RequestError):
    code = "body_too_large"
    sentence = "The request's body is too large."
    remedy = "Send at most 1 MiB."
    http_status = 413


class BodyTooSlow(RequestError):
    code = "body_too_slow"
    sentence = "The request's body did not arrive in time."
    remedy = "Send the request again over a faster connection."
    http_status = 408


class BodyNotJson(RequestError):
    code = "body_not_json"
    sentence = "The request's body is not declared to be JSON."
    remedy = "Send JSON with Content-Type: application/json."
    http_status = 415


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"
    sentence = "This address does not know the method."
    remedy = "Use one of the methods that Allow names."
    http_status = 405


class NotAcceptable(RequestError):
    code = "not_acceptable"
    sentence = "The answer can't be told in a form that the request accepts."
    remedy = (
        "Accept what the document names for this address, application/json as a rule, or anything."
    )
    http_status = 406


class TooManyRequests(RequestError):
    """`evidence["retry_after"]` is in how many seconds there is something left."""

    code = "too_many_requests"
    sentence = "There were too many requests from you."
    remedy = "Wait for as many seconds as Retry-After says; RateLimit tells what is left."
    http_status = 429


class WrongHost(RequestError):
    code = "wrong_host"
    sentence = "This server does not answer to that host name."
    remedy = "Use the address that whoever runs the server gave you; they list its names in server.allowed_hosts."
    http_status = 400


class InventoryOfInstance(RequestError):
    code = "inventory_of_instance"
    sentence = "This inventory item stands for an instance."
    remedy = (
        "Delete the instance to remove its item; a test tells its GPUs and whether it is active."
    )
    http_status = 409


class AlreadyFired(RequestError):
    code = "already_fired"
    sentence = "This due time of the schedule has had its run."
    remedy = "Nothing to do: a due time fires once."
    http_status = 409


class KeyReused(RequestError):
    code = "idempotency_key_reused"
    sentence = "This Idempotency-Key stood for another request."
    remedy = "Send a new key with each new request, and the old one only to repeat the old request."
    http_status = 422


class RunError(HarborxError):
    """
    How a run can end without passing. `ending` is the state it ends in; `postpones` says that nothing was
    started, that nobody is at fault, and that it is worth waiting for.
    """

    ending: ClassVar[Ending] = "inconclusive"
    postpones: ClassVar[bool] = False


class RunCancelled(RunError):
    code = "cancelled"
    sentence = "The test was cancelled."
    remedy = "Request another test when you want one."
    ending: ClassVar[Ending] = "cancelled"


class ConnectError(RunError):
    """The machine could not be reached, identified or logged in to."""

    code = "connect_failed"
    sentence = "The connection to the machine failed."
    remedy = "Check host, port, user and login of the instance."
    ending: ClassVar[Ending] = "failed"


class HostUnreachable(ConnectError):
    code = "host_unreachable"
    sentence = "No SSH server answered at the instance's address."
    remedy = "Check that the machine runs, that ssh_host is a public name or address, that ssh_port is right, and that a firewall lets us in."
    retryable = True


class AddressForbidden(ConnectError):
    code = "address_forbidden"
    sentence = "The instance's address or port is one where we do not connect."
    remedy = "Use a public address and port 22 or one from 1024 on; whoever runs this server can allow others with ssh.allowed_networks and ssh.allowed_ports."


class HostKeyChanged(ConnectError):
    """`presented` is the key that the machine shows, one OpenSSH line; None where it can't be read."""

    presented: str | None = None
    code = "host_key_changed"
    sentence = "The machine shows another host key than the one on record; no login was tried."
    remedy = "If the machine was reinstalled, confirm the new fingerprint; otherwise treat it as an impostor."


class CredentialUnusable(ConnectError):
    code = "credential_unusable"
    sentence = "The private key on record can't be used."
    remedy = "Onboard with an OpenSSH or PEM private key, and its passphrase if it has one."


class LoginRefused(ConnectError):
    code = "login_refused"
    sentence = "The machine refused the login."
    remedy = "Add the instance's public key to ~/.ssh/authorized_keys of ssh_user on the machine."


class ConnectionLost(ConnectError):
    code = "connection_lost"
    sentence = "The connection broke and could not be restored in time."
    remedy = "Test again; if it repeats, check the machine's network."
    retryable = True
    ending: ClassVar[Ending] = "inconclusive"


class LaunchError(RunError):
    """The agent could not be brought to run."""

    code = "launch_failed"
    sentence = "The agent could not be started on the machine."
    remedy = "Check free disk space and the home folder's permissions on the machine."


class PushFailed(LaunchError):
    code = "push_failed"
    sentence = "The agent could not be copied to the machine."
    remedy = "Check free disk space and that the home folder of ssh_user can be written."
    retryable = True


class PythonMissing(LaunchError):
    code = "python_missing"
    sentence = "The machine has no Python 3.8 or newer."
    remedy = "Install python3 (3.8 or newer) on the machine and test again."


class GpuBusy(LaunchError):
    code = "gpu_busy"
    sentence = "Somebody else is using the machine's GPU, so nothing was measured."
    remedy = "Free the GPU or test again later; a busy GPU never counts against the supplier."
    postpones: ClassVar[bool] = True


class MachineBusy(LaunchError):
    """`evidence["other_run"]` names the run that is there, if the machine told."""

    code = "machine_busy"
    sentence = "Another test is running on this machine."
    remedy = "Wait for the other test; a machine that is onboarded twice is tested one at a time."
    postpones: ClassVar[bool] = True


class LaunchFailed(LaunchError):
    retryable = True


class AgentError(RunError):
    """The agent ran and did not end with a result that can be judged."""

    code = "agent_failed"
    sentence = "The benchmark reported a failure."
    remedy = "The evidence shows what the machine said; correct it and test again."
    ending: ClassVar[Ending] = "failed"


class ProvisionFailed(AgentError):
    code = "provision_failed"
    sentence = "No Python on the machine has torch, and it could not be installed."
    remedy = "Install torch for a Python on the machine, or give it access to a package index and disk space."
    ending: ClassVar[Ending] = "inconclusive"


class ProvisionDiskFull(AgentError):
    code = "provision_disk_full"
    sentence = "The machine has too little free disk for torch."
    remedy = "Free 12 GiB (1.5 GiB for a CPU build) where the home folder of ssh_user is, or install torch yourself."
    ending: ClassVar[Ending] = "inconclusive"


class ProvisionNoNetwork(AgentError):
    code = "provision_no_network"
    sentence = "The machine can't reach the package index that torch would come from."
    remedy = "Give the machine access to the index, set agent.torch_index_url or agent.torch_wheels_dir, or install torch yourself."
    ending: ClassVar[Ending] = "inconclusive"


class ProvisionGlibcOld(AgentError):
    code = "provision_glibc_old"
    sentence = (
        "The machine's C library is too old for torch, or another one than the GNU C library."
    )
    remedy = (
        "Use a system with glibc 2.28 or newer, or install a torch that was built for this one."
    )
    ending: ClassVar[Ending] = "inconclusive"


class ProvisionPythonUnfit(AgentError):
    code = "provision_python_unfit"
    sentence = "There is no torch for the Pythons or the processor of the machine."
    remedy = "Install a Python from 3.10 to 3.14 on the machine and test again."
    ending: ClassVar[Ending] = "inconclusive"


class OutOfMemory(AgentError):
    code = "out_of_memory"
    sentence = "The benchmark did not fit into the memory of the device."
    remedy = "Free the device of other work, or request a smaller batch_size."


class WrongArithmetic(AgentError):
    code = "wrong_arithmetic"
    sentence = "The machine computes wrongly."
    remedy = "The evidence names the check; look at the card's ECC counters, clocks and cooling, or replace it."


class OptionUnsupported(AgentError):
    code = "option_unsupported"
    sentence = "The machine can't measure in the way that was asked for."
    remedy = "Request the test with precision and mode auto."
    ending: ClassVar[Ending] = "inconclusive"


class AgentCrashed(AgentError):
    code = "agent_crashed"
    sentence = "The benchmark ended without a result."
    remedy = (
        "The evidence holds its exit status and last error output; often a driver or memory fault."
    )


class AgentTimedOut(AgentError):
    code = "agent_timed_out"
    sentence = "The benchmark did not finish before its deadline and was stopped."
    remedy = "Check that the device works and is free; a smaller benchmark or a longer deadline may help."


class HostRebooted(AgentError):
    code = "host_rebooted"
    sentence = "The machine restarted during the test."
    remedy = "Test again when the machine is stable."
    ending: ClassVar[Ending] = "inconclusive"


class RunFolderLost(AgentError):
    code = "run_folder_lost"
    sentence = "The run's folder disappeared from the machine during the test."
    remedy = "Do not remove ~/.harborx while a test runs; test again."
    ending: ClassVar[Ending] = "inconclusive"


class DiskFull(AgentError):
    code = "disk_full"
    sentence = "The machine's disk is full, so the benchmark could not write what it measured."
    remedy = "Free space in the home folder of ssh_user and test again."
    ending: ClassVar[Ending] = "inconclusive"


class OutputRefused(AgentError):
    code = "output_refused"
    sentence = "The machine's output is not what the benchmark writes."
    remedy = "The refused lines are kept as evidence; test again on an unmodified machine."


class OutputFlood(AgentError):
    code = "output_flood"
    sentence = "The machine sent more output than a run may have, and was cut off."
    remedy = "The benchmark writes a few kilobytes; test again on an unmodified machine."


class Misjudged(RunError):
    """A result came and the verdict on it is not a pass. Raised by nobody: the verdict carries the code."""

    code = "verdict_failed"
    sentence = "The result did not pass."
    remedy = "The evidence lines say which check failed."
    ending: ClassVar[Ending] = "failed"


class GpuMissing(Misjudged):
    code = "gpu_missing"
    sentence = "A GPU was claimed and none was found."
    remedy = "Check the driver (nvidia-smi) and that the GPU is passed through, or onboard as gpu_name CPU."


class GpuMismatch(Misjudged):
    code = "gpu_mismatch"
    sentence = "The measured GPU is not the claimed one."
    remedy = "Correct the instance's gpu_name, or test the machine that has the claimed GPU."


class GpuCountMismatch(Misjudged):
    code = "gpu_count_mismatch"
    sentence = "The machine has fewer GPUs than claimed."
    remedy = "Correct the instance's gpu_count, or check that all GPUs are visible to the user."


class ResultImplausible(Misjudged):
    code = "result_implausible"
    sentence = "The figures of the result contradict each other or physics."
    remedy = "Test again on an unmodified machine; the evidence names the figures."


class ClockDisagrees(Misjudged):
    """Inconclusive: a stalled line looks the same as a machine that lies about its time."""

    code = "clock_disagrees"
    ending: ClassVar[Ending] = "inconclusive"
    sentence = "The machine's own timing does not agree with the time we observed."
    remedy = "Check the machine's clock source and load, and test again."


class SubmissionIncomplete(Misjudged):
    code = "submission_incomplete"
    sentence = "A submitted result says too little to be judged."
    remedy = (
        "Submit throughput, latency and system_telemetry with gpu_name, or request a test by us."
    )
    ending: ClassVar[Ending] = "inconclusive"


def catalogue() -> dict[str, type[HarborxError]]:
    """Every code with the class that explains it, for documents, API and surfaces."""
    return {cls.code: cls for cls in _walk(HarborxError)}


def explain(code: str) -> type[HarborxError]:
    """The class behind a stored code; unknown codes (from a newer program) explain as the root."""
    return catalogue().get(code, HarborxError)


def _walk(cls: type[HarborxError]) -> Iterator[type[HarborxError]]:
    for sub in cls.__subclasses__():
        yield from _walk(sub)
    yield cls
