"""
Settings and where each came from: default < config.toml < environment (HARBORX_...) < flags.

`load` is pure but for reading the files it is told of; there is no settings object at module level.
"""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.domain.errors import ConfigError

PREFIX: Final = "HARBORX_"
DELIMITER: Final = "__"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Group):
    url: Annotated[
        SecretStr | None,
        Field(
            description="PostgreSQL 15 or newer, e.g. postgresql://owner@db.example/harborx; unset: an embedded server. Its login is used by `harborx db init` only."
        ),
    ] = None
    api_password: Annotated[
        SecretStr | None,
        Field(description="Password of the login harborx_api; unset: kept in the state folder."),
    ] = None
    worker_password: Annotated[
        SecretStr | None,
        Field(description="Password of the login harborx_worker; unset: kept in the state folder."),
    ] = None
    pool_size: Annotated[int, Field(ge=1, le=200, description="Connections a process keeps.")] = 10
    listen_notify: Annotated[
        bool, Field(description="false behind PgBouncer in transaction mode: workers poll instead.")
    ] = True


class ServerSettings(_Group):
    host: Annotated[str, Field(description="Address the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="0: a free port.")] = 8000
    public_url: Annotated[
        str | None, Field(description="How clients reach us; unset: http://host:port.")
    ] = None
    cors_origins: Annotated[
        tuple[str, ...], Field(description="Origins whose pages may call the API; * for any.")
    ] = ("*",)
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(
            description="Networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto count; none by default."
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Field(
            description="Host names that we answer to, e.g. gpu.example or *.gpu.example; none given: any."
        ),
    ] = ()
    body_seconds: Annotated[
        float, Field(gt=0, le=600, description="A request's body arrives within this time.")
    ] = 30.0
    listing_seconds: Annotated[
        float,
        Field(ge=0, le=60, description="How old the public listing may be; 0: never read twice."),
    ] = 3.0
    audit_days: Annotated[
        int, Field(ge=1, le=36_500, description="How long the audit log is kept.")
    ] = 400
    result_months: Annotated[
        int,
        Field(
            ge=0,
            le=1200,
            description="Whole months that results and their runs are kept beside this one; 0: for ever.",
        ),
    ] = 0
    rate_limit_reads: Annotated[
        int,
        Field(ge=0, description="Requests a minute that a supplier may read with; 0: any number."),
    ] = 12_000
    rate_limit_writes: Annotated[
        int,
        Field(
            ge=0,
            description="Requests a minute that a supplier may change something with; 0: any number.",
        ),
    ] = 6_000
    rate_limit_anonymous: Annotated[
        int,
        Field(
            ge=0,
            description="Requests a minute of one client address without a login that we know; 0: any number.",
        ),
    ] = 600
    rate_limit_expensive: Annotated[
        int,
        Field(ge=0, description="Sign-ins and the like a minute, of one caller; 0: any number."),
    ] = 120
    rate_limit_streams: Annotated[
        int, Field(ge=0, description="Event streams that one caller may have open; 0: any number.")
    ] = 256


class WorkerSettings(_Group):
    concurrency: Annotated[int, Field(ge=1, le=5000, description="Runs at a time.")] = 100
    heartbeat_seconds: Annotated[
        float, Field(gt=0, le=60, description="How often a worker says that it lives.")
    ] = 1.0
    stalled_seconds: Annotated[
        float, Field(gt=1, le=600, description="A worker silent for so long has lost its jobs.")
    ] = 5.0
    busy_wait_seconds: Annotated[
        float, Field(ge=0, le=86_400, description="How long a run waits for a GPU that is in use.")
    ] = 3600.0


def _port_range(text: str) -> str:
    low, _, high = text.partition("-")
    if not 0 < int(low) <= int(high or low) < 65536:
        raise ValueError("is no port and no range of ports")
    return text


PortRange = Annotated[
    str, Field(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?$"), AfterValidator(_port_range)
]


class SshSettings(_Group):
    allowed_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(
            description="Private ranges where instances may be, e.g. 10.0.0.0/8; none by default."
        ),
    ] = ()
    forbidden_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(
            description="Networks where we never connect, e.g. your own public ones, or the prefix of your NAT64."
        ),
    ] = ()
    allowed_ports: Annotated[
        tuple[PortRange, ...],
        Field(description="Ports of instances; those of other well-known services are left out."),
    ] = ("22", "1024-65535")
    new_machines_per_hour: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="Tests that a supplier may have of machines that have not let us in yet; schedules wait for their turn.",
        ),
    ] = 1000
    checks_per_hour: Annotated[
        int, Field(ge=1, le=1_000_000, description="Connection checks that a supplier may have.")
    ] = 120
    user_ca_key_file: Annotated[
        Path | None,
        AfterValidator(lambda path: path and path.expanduser()),
        Field(
            description="Our user CA's key (32 bytes, base64), the same on every API and worker; unset: made in the state folder."
        ),
    ] = None
    source_addresses: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(
            description="Networks that workers connect from, as machines see them: our user CA's certificates are good from there only; none given: from anywhere."
        ),
    ] = ()
    connect_timeout: Annotated[float, Field(gt=0, le=120, description="Seconds.")] = 10.0
    login_timeout: Annotated[float, Field(gt=0, le=120, description="Seconds.")] = 20.0
    connect_attempts: Annotated[
        int, Field(ge=1, le=10, description="Tries before a machine counts as unreachable.")
    ] = 3
    warm_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=600,
            description="How long a connection stays open after a run, for the instance's next one; 0: not at all.",
        ),
    ] = 60.0
    warm_connections: Annotated[
        int,
        Field(ge=0, le=10_000, description="Such connections of a worker; the oldest is closed."),
    ] = 256


class AuthSettings(_Group):
    sign_up: Annotated[bool, Field(description="Whether anybody may make an account.")] = True
    session_hours: Annotated[
        float, Field(gt=0, le=24 * 90, description="How long a sign-in lasts.")
    ] = 24.0
    session_secret: Annotated[
        SecretStr | None,
        Field(
            description="Signs our own sessions; unset: kept in the state folder. Same on every API."
        ),
    ] = None
    issuer: Annotated[
        str | None,
        Field(description="A Supabase or OIDC issuer whose tokens are accepted beside our own."),
    ] = None
    issuer_audience: Annotated[str, Field(description="The audience its tokens must name.")] = (
        "authenticated"
    )
    issuer_jwks_url: Annotated[
        str | None,
        Field(
            description="Its public keys (ES256, RS256, EdDSA); unset: as its discovery document says."
        ),
    ] = None
    issuer_secret: Annotated[
        SecretStr | None, Field(description="Its shared HS256 secret, instead of a JWKS address.")
    ] = None
    issuer_requires_role: Annotated[
        bool,
        Field(
            description="Whether its tokens must claim the role authenticated, as Supabase's do; false for plain OIDC."
        ),
    ] = True


_File = Annotated[Path, AfterValidator(Path.expanduser)]


class VaultSettings(_Group):
    """The file of `key` would be named by HARBORX_VAULT__KEY_FILE: that is `key_file`, which is read again when it changes."""

    key_file: Annotated[
        _File | None,
        Field(
            description="Key-encryption key (32 bytes, base64; 0600), the same on every API and worker; unset: made in the state folder. The same as HARBORX_VAULT__KEY_FILE."
        ),
    ] = None
    key: Annotated[
        SecretStr | None,
        Field(description="The key itself, instead of a file: for HARBORX_VAULT__KEY."),
    ] = None
    previous_keys_dir: Annotated[
        _File | None,
        Field(
            description="Folder of keys that open and don't seal: older ones, and the next; each a file NAME.key (0600); unset: vault-keys in the state folder."
        ),
    ] = None
    previous_keys: Annotated[
        SecretStr | None,
        Field(
            description="Such keys themselves, parted by commas: for HARBORX_VAULT__PREVIOUS_KEYS."
        ),
    ] = None
    transit_address: Annotated[
        str | None,
        Field(
            pattern=r"^(https://[^@/?#\s]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)/?$",
            description="HashiCorp Vault or OpenBao, e.g. https://vault.example:8200: its transit engine wraps, and the keys above only open.",
        ),
    ] = None
    transit_mount: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", description="Where that engine is."),
    ] = "transit"
    transit_key: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_.-]+$",
            description="The engine's key, of a kind that authenticates (aes256-gcm96).",
        ),
    ] = "harborx"
    transit_token_file: Annotated[
        _File | None, Field(description="File with a token that may encrypt and decrypt with it.")
    ] = None

    @model_validator(mode="after")
    def _one_current_key(self) -> Self:
        if self.key is not None and self.key_file is not None:
            raise ValueError("set key or key_file, not both")
        if (self.transit_address is None) != (self.transit_token_file is None):
            raise ValueError("transit_address and transit_token_file go together")
        return self


class AgentSettings(_Group):
    deadline_seconds: Annotated[
        float, Field(ge=1, le=86_400, description="A benchmark still running then is ended.")
    ] = 3600.0
    install_torch: Annotated[
        bool, Field(description="Install torch into ~/.harborx/venv where no Python has it.")
    ] = True
    torch_version: Annotated[str, Field(description="Which torch is installed.")] = "2.13.0"
    torch_index_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[^@\s]+$",
            description="Package index for torch, without a login: machines see it; {build} in it becomes cu126 or what fits; unset: the machine's own.",
        ),
    ] = None
    torch_wheels_dir: Annotated[
        str | None,
        Field(
            pattern=r"^(/|~/)[^\x00-\x1f]*$",
            max_length=4000,
            description="Folder on the machine with wheels of torch and all it needs: installed from there, without a network.",
        ),
    ] = None
    torch_build: Annotated[
        str,
        Field(
            pattern=r"^(auto|cpu|cu[0-9]{2,3}|rocm[0-9]+(\.[0-9]+){0,2})$",
            description="Which build of torch: auto fits driver and cards; or its name: cpu, cu126.",
        ),
    ] = "auto"


class LogSettings(_Group):
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least that is told.")
    ] = "info"
    format: Annotated[
        Literal["auto", "console", "json"], Field(description="auto: console on a terminal.")
    ] = "auto"


class Settings(BaseSettings):
    """Every setting; `config.example.toml` shows them with their defaults."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter=DELIMITER
    )

    state_dir: Annotated[
        Path,
        AfterValidator(Path.expanduser),
        Field(description="Embedded database, generated secrets and keys (0700)."),
    ] = Path(platformdirs.user_state_path("harborx"))
    database: DatabaseSettings = DatabaseSettings()
    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    ssh: SshSettings = SshSettings()
    auth: AuthSettings = AuthSettings()
    vault: VaultSettings = VaultSettings()
    agent: AgentSettings = AgentSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(cls, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        return (kwargs["init_settings"],)  # `load` merges the sources, to know the origins


@dataclass(frozen=True)
class Configuration:
    """`origins` maps dotted names to `default`, a file, a variable's name or `flag`."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Configuration:
    """
    The configuration from a TOML file (or none), an environment and flags (nested like the settings).

    An empty text is no value. A secret may also be read from a file named by `HARBORX_..._FILE`. Raises `ConfigError` for a file
    that can't be read and for names and values that are not settings, without showing values.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    sources = (
        (_from_file(path), lambda _: str(path)),
        (_from_environment(environ), lambda name: PREFIX + name.replace(".", DELIMITER).upper()),
        (dict(flags or {}), lambda _: "flag"),
    )
    for source, origin in sources:
        for name, value in _flatten(source):
            if value == "":  # as good as absent: deployments pass empty variables on
                continue
            _set(values, name, value)
            origins[name] = origin(name)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None
    return Configuration(settings, {n: origins.get(n, "default") for n, _ in settings_of(settings)})


def settings_of(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted name, value); secrets stay masked in their `SecretStr`."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from settings_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    known = {PREFIX + n.replace(".", DELIMITER).upper(): n for n, _ in settings_of(Settings())}
    mistaken = {name.replace(DELIMITER, "_"): name for name in known if DELIMITER in name}
    groups = {name.partition(DELIMITER)[0] for name in known if DELIMITER in name}
    values: dict[str, Any] = {}
    unknown = []
    for variable, text in sorted(environ.items()):
        name = variable.upper()
        if name in known:
            values[known[name]] = _items(text) if _takes(known[name], "tuple") else text
        elif name.endswith("_FILE") and _takes(known.get(name[: -len("_FILE")]), "SecretStr"):
            values[known[name[: -len("_FILE")]]] = _secret_in(Path(text), variable)
        elif name.startswith(PREFIX) and name in mistaken:
            unknown.append(f"{variable} (it is {mistaken[name]})")
        elif name.startswith(PREFIX) and (DELIMITER in name or name in groups):
            unknown.append(variable)
    if unknown:
        raise ConfigError(f"No such setting: {', '.join(unknown)}.")
    return values


def _takes(name: str | None, kind: str) -> bool:
    group, _, field = (name or "").partition(".")
    fields = getattr(getattr(Settings(), group, None), "__pydantic_fields__", {})
    return field in fields and kind in str(fields[field].annotation)


def _items(text: str) -> Any:
    """A list in a variable: JSON, or parted by commas."""
    if text.lstrip().startswith("["):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _secret_in(path: Path, variable: str) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The file named by {variable} can't be read.") from error


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _set(tree: dict[str, Any], name: str, value: Any) -> None:
    *groups, last = name.split(".")
    for group in groups:
        below = tree.get(group)
        if not isinstance(below, dict):  # a plain value where a group belongs, in a lesser source
            below = tree[group] = {}
        tree = below
    tree[last] = value


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        setting = next((n for n in origins if f"{name}.".startswith(f"{n}.")), name)
        lines.append(f"{setting} ({origins.get(setting, 'unknown')}): {problem['msg']}.")
    return " ".join(lines)
