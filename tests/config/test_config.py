"""Settings: where each comes from, what is refused, and the file that shows them all."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from orchestrator.config import Settings, load, settings_of
from orchestrator.domain.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SECRET = "hunter2-and-more"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_a_later_source_wins_and_is_named(file: Path) -> None:
    """Default, then file, then environment, then flag; each value knows where it came from."""
    file.write_text("[server]\nport = 1\nhost = '0.0.0.0'\npublic_url = 'http://file'\n")
    environ = {"HARBORX_SERVER__PORT": "2", "harborx_server__host": "::1", "PATH": "/bin"}
    loaded = load(file, environ, {"server": {"port": 3}})
    server, origins = loaded.settings.server, loaded.origins
    assert (server.port, server.host, server.public_url) == (3, "::1", "http://file")
    assert server.cors_origins == ("*",)
    assert origins["server.port"] == "flag"
    assert origins["server.host"] == "HARBORX_SERVER__HOST"
    assert origins["server.public_url"] == str(file)
    assert origins["server.cors_origins"] == "default"
    assert set(origins) == {name for name, _ in settings_of(loaded.settings)}


def test_lists_in_the_environment_are_json_or_commas() -> None:
    """A list may be typed as people do, or as JSON."""
    for text in ("10.0.0.0/8, fd00::/8", '["10.0.0.0/8", "fd00::/8"]'):
        networks = load(None, {"HARBORX_SSH__ALLOWED_NETWORKS": text}).settings.ssh.allowed_networks
        assert [str(network) for network in networks] == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("toml", "environ", "named"),
    [
        ("[server]\nprot = 1", {}, ["server.prot"]),
        ("[server]\nport = 1\nportx = 'hunter2-and-more'", {}, ["server.portx", "config.toml"]),
        ("[nothing]\na = 'hunter2-and-more'", {}, ["nothing"]),
        ("[server]\nport = 'hunter2-and-more'", {}, ["server.port", "config.toml"]),
        ("server = 'hunter2-and-more'", {}, ["server"]),
        ("[ssh]\nallowed_networks = ['hunter2-and-more']", {}, ["ssh.allowed_networks"]),
        ("[log]\nlevel = 'hunter2-and-more'", {}, ["log.level"]),
        ("this is = hunter2-and-more", {}, ["config.toml", "line 1"]),
        ("", {"HARBORX_SERVER__PROT": SECRET}, ["HARBORX_SERVER__PROT"]),
        ("", {"HARBORX_SERVER__PORT": SECRET}, ["server.port", "HARBORX_SERVER__PORT"]),
        ("", {"HARBORX_SSH__ALLOWED_NETWORKS": SECRET}, ["HARBORX_SSH__ALLOWED_NETWORKS"]),
        ("", {"HARBORX_SSH__ALLOWED_NETWORKS": f'["{SECRET}'}, ["ssh.allowed_networks"]),
        ("", {"HARBORX_DATABASE": SECRET}, ["HARBORX_DATABASE"]),
        ("", {"HARBORX_DATABASE_URL": SECRET}, ["HARBORX_DATABASE__URL"]),
        ("", {"HARBORX_DATABASE__URL_FILE": "/nowhere/hunter2"}, ["HARBORX_DATABASE__URL_FILE"]),
        ("", {"HARBORX_SERVER__PORT_FILE": "/etc/hostname"}, ["HARBORX_SERVER__PORT_FILE"]),
    ],
)
def test_a_mistake_is_named_without_its_value(
    file: Path, toml: str, environ: dict[str, str], named: list[str]
) -> None:
    """Unknown and mistyped settings are a ConfigError that names setting and source, and no value."""
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    for name in named:
        assert name in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None or SECRET not in repr(caught.value.__cause__)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A settings file that was asked for must be there, and be text."""
    with pytest.raises(ConfigError, match=r"none\.toml can't be read"):
        load(tmp_path / "none.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        load(tmp_path / "binary.toml", {})


def test_a_group_in_a_better_source_replaces_a_plain_value(file: Path) -> None:
    """A value where a group belongs is refused, or overruled, never a crash."""
    file.write_text("database = 3")
    loaded = load(file, {"HARBORX_DATABASE__POOL_SIZE": "4"})
    assert loaded.settings.database.pool_size == 4


def test_secrets_come_from_files_and_stay_masked(tmp_path: Path) -> None:
    """A secret may be read from a file; it shows in no repr, str or listing of the settings."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    environ = {"HARBORX_AUTH__SESSION_SECRET_FILE": str(tmp_path / "secret")}
    loaded = load(None, environ | {"HARBORX_DATABASE__URL": f"postgresql://owner:{SECRET}@host/db"})
    secret = loaded.settings.auth.session_secret
    assert secret is not None
    assert secret.get_secret_value() == SECRET
    assert loaded.origins["auth.session_secret"] != "default"
    shown = [repr(loaded), str(loaded.settings), loaded.settings.model_dump_json()]
    shown += [f"{name} {value} {value!r}" for name, value in settings_of(loaded.settings)]
    assert SECRET not in " ".join(shown)


def test_what_could_be_a_secret_is_typed_as_one() -> None:
    """Every setting named like a secret, and the database's address, is a SecretStr."""
    for name, annotation in _annotations(Settings):
        named = re.search(r"password|secret|token|database\.url|vault\.key$|_keys$", name)
        if named and not name.endswith("_file"):
            assert str(SecretStr.__name__) in annotation, name


def _annotations(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            told += _annotations(field.annotation, f"{prefix}{name}.")
        else:
            told.append((prefix + name, str(field.annotation)))
    return told


def example_of(model: type[BaseModel], group: str = "") -> str:
    """`config.example.toml` as the settings say it: `python -m tests.config.test_config` prints it."""
    lines = [f"\n[{group}]"] if group else [_HEAD]
    below: list[str] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            below.append(example_of(field.annotation, name))
            continue
        lines.append(f"# {field.description}")
        lines.append(f"# {name} = {_toml(name, field.default)}")
    return "\n".join([*lines, *below])


_HEAD = """\
# Every setting of Harborx with its default. Copy this file to config.toml and uncomment what you change.
# config.toml < environment (HARBORX_SERVER__PORT=8000) < flags. A secret may come from a file:
# HARBORX_DATABASE__URL_FILE=/run/secrets/url. An empty text stands for "unset".
"""


def _toml(name: str, value: Any) -> str:
    if name == "state_dir":
        return json.dumps("~/.local/state/harborx")
    if value is None:
        return '""'
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def test_the_example_shows_every_setting_with_its_default() -> None:
    """config.example.toml is exactly what the code's settings, descriptions and defaults make of it."""
    assert EXAMPLE.read_text("utf-8") == example_of(Settings) + "\n"


def test_the_example_uncommented_changes_nothing(file: Path) -> None:
    """With every line uncommented the example is a valid file and equals the defaults, state_dir excepted."""
    uncommented = re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text("utf-8"))
    file.write_text(uncommented)
    defaults = dict(settings_of(load(None, {}).settings))
    shown = dict(settings_of(load(file, {}).settings))
    assert shown.keys() == defaults.keys()
    assert {name for name in shown if shown[name] != defaults[name]} <= {"state_dir"}


if __name__ == "__main__":
    sys.stdout.write(example_of(Settings) + "\n")
