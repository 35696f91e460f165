"""Help, usage, errors and settings: what holds for every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.call import settings_file
from orchestrator.cli.main import app, main
from orchestrator.database.logins import Logins
from orchestrator.database.schema import SCHEMA_VERSION
from tests.cli.conftest import PROGRAM, Harborx, use

_SLOW = ("sqlmodel", "sqlalchemy", "asyncssh", "fastapi", "procrastinate", "pydantic", "rich")


def test_help_imports_nothing_slow() -> None:
    """The program answers `--help` at once: what is slow to import waits until a command needs it."""
    program = f"import sys, orchestrator.cli.main; print([m for m in {_SLOW} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_every_command_has_help(command: Harborx) -> None:
    """Each command and each group answers --help with 0 and knows --json and --config."""
    for group, inner in _commands(app):
        shown = command(*group, *inner, "--help")
        assert shown.status == 0
        assert "--json" in shown.out
        assert "--config" in shown.out


def _commands(found: object) -> list[tuple[list[str], list[str]]]:
    import typer

    assert isinstance(found, typer.Typer)
    names: list[tuple[list[str], list[str]]] = []
    for module in found.registered_groups:
        inner = module.typer_instance
        assert inner is not None
        names += [([], [each.name or ""]) for each in inner.registered_commands]
        for group in inner.registered_groups:
            assert group.typer_instance is not None
            commands = group.typer_instance.registered_commands
            names += [([str(group.name)], [each.name or ""]) for each in commands]
    return names


def test_usage_errors_exit_2(command: Harborx) -> None:
    """An unknown option is a usage error, told on stderr."""
    finished = command("runs", "--colour")
    assert (finished.status, finished.out) == (2, "")
    assert "--colour" in finished.err


def test_usage_errors_are_documents_in_json(command: Harborx) -> None:
    """With --json a usage error is one JSON document on stderr."""
    finished = command("runs", "--json", "--limit", "many")
    assert finished.status == 2
    assert finished.error["error"] == "usage"
    assert "--limit" in finished.error["message"]


def test_arguments_are_text(command: Harborx) -> None:
    """Bytes that are no text are refused as usage before anything is done with them."""
    finished = command("instances", "m\udcff", "--json")
    assert (finished.status, finished.error["error"]) == (2, "usage")


def test_errors_say_what_to_do(harborx: Harborx) -> None:
    """An error is the sentence, this case, and the remedy, on stderr, without a traceback."""
    finished = harborx("runs")
    assert (finished.status, finished.out) == (1, "")
    assert "no such thing" in finished.err
    assert "harborx users add" in finished.err
    assert "What to do: " in finished.err
    assert "Traceback" not in finished.err


def test_errors_are_documents_in_json(harborx: Harborx) -> None:
    """With --json, before or after the command, an error is a document with code, message and remedy."""
    for arguments in (("--json", "runs"), ("runs", "--json")):
        finished = harborx(*arguments)
        assert finished.status == 1
        assert set(finished.error) == {"error", "message", "remedy"}
        assert finished.error["error"] == "not_found"


def test_a_fault_of_ours_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw is named as a fault with a remedy; --debug is there for the rest."""
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.setattr("sys.argv", ["harborx", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("secret"), None)
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "--debug" in told
    assert "secret" not in told


def test_debug_shows_the_traceback(environment: Path) -> None:
    """--debug lets an error through with its traceback."""
    finished = subprocess.run(
        [*PROGRAM, "--debug", "--config", "none.toml", "config", "show"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_the_settings_file_is_chosen_in_order(environment: Path) -> None:
    """The flag's file comes first, then the environment's, then ./config.toml, then none."""
    here = environment / "config.toml"
    assert settings_file(None, {}) is None
    here.touch()
    assert settings_file(None, {}) == Path("config.toml")
    assert settings_file(None, {"HARBORX_CONFIG": "other.toml"}) == Path("other.toml")
    given = Path("given.toml")
    assert settings_file(given, {"HARBORX_CONFIG": "other.toml"}) == given


def test_config_show_tells_origins(
    command: Harborx, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting is shown with its value and the file, variable or default it came from."""
    (environment / "config.toml").write_text("[server]\nport = 9000\n")
    monkeypatch.setenv("HARBORX_LOG__LEVEL", "debug")
    shown = {each["name"]: each for each in command("config", "show", "--json").documents}
    assert (shown["server.port"]["value"], shown["server.port"]["origin"]) == (9000, "config.toml")
    assert shown["log.level"]["origin"] == "HARBORX_LOG__LEVEL"
    assert shown["server.host"] == {
        "name": "server.host",
        "value": "127.0.0.1",
        "origin": "default",
    }
    table = command("config", "show", "--origin").out
    assert any(
        line.split() == ["server.port", "9000", "config.toml"] for line in table.splitlines()
    )


@pytest.mark.parametrize("arguments", [(), ("--origin",), ("--json",)])
def test_config_show_masks_secrets(
    command: Harborx, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """No form of `config show` prints a secret."""
    monkeypatch.setenv("HARBORX_DATABASE__URL", "postgresql://owner:hunter22@db.example/harborx")
    monkeypatch.setenv("HARBORX_AUTH__SESSION_SECRET", "hunter22hunter22")
    shown = command("config", "show", *arguments)
    assert shown.status == 0
    assert "hunter22" not in shown.out + shown.err
    assert "****" in shown.out


def test_an_unknown_setting_is_refused(command: Harborx, environment: Path) -> None:
    """A settings file with a name that is no setting is an error that names it, and its file."""
    (environment / "config.toml").write_text("[server]\nprot = 9000\n")
    finished = command("config", "show", "--json")
    assert (finished.status, finished.error["error"]) == (1, "config_invalid")
    assert "server.prot" in finished.error["message"]


def test_db_init_is_safe_to_repeat(
    command: Harborx, empty_database: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`db init` makes the schema once and says so; again it finds nothing to do."""
    use(empty_database, monkeypatch)
    assert command("db", "status", "--json").document["schema_version"] is None
    assert command("db", "init", "--json").document["created"] is True
    again = command("db", "init")
    assert again.status == 0
    assert "Nothing to do" in again.err
    assert f"version {SCHEMA_VERSION}" in command("db", "status").out


def test_a_database_without_the_schema_is_refused(
    command: Harborx, empty_database: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configured database is never changed behind its owner's back: the remedy is `db init`."""
    use(empty_database, monkeypatch)
    finished = command("instances", "--json")
    assert (finished.status, finished.error["error"]) == (1, "schema_mismatch")
    assert "harborx db init" in finished.error["remedy"]


def test_first_use_needs_no_database(command: Harborx) -> None:
    """Without database.url an embedded server is made and brought to the schema by the first command."""
    password = "long enough pass\n"
    assert command("users", "add", "a@example.com", "--password-stdin", stdin=password).status == 0
    status = command("db", "status", "--json").document
    assert (status["kind"], status["schema_version"]) == (
        "embedded",
        SCHEMA_VERSION,
    )


def test_an_unreachable_database_is_told(command: Harborx, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer is its own error, and its password stays unsaid."""
    monkeypatch.setenv("HARBORX_DATABASE__URL", "postgresql://owner:hunter22@127.0.0.1:1/harborx")
    finished = command("instances", "--json")
    assert (finished.status, finished.error["error"]) == (1, "database_unavailable")
    assert "hunter22" not in finished.err


def test_db_status_shows_no_password(
    command: Harborx, logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of the database is shown without its password."""
    monkeypatch.setenv("HARBORX_DATABASE__URL", logins.worker.replace(":test@", ":hunter22@"))
    finished = command("db", "status")
    assert finished.status == 0
    assert "PostgreSQL" in finished.out
    assert "hunter22" not in finished.out + finished.err


def test_json_is_one_document_a_line(harborx: Harborx) -> None:
    """Documents are single ASCII lines, so that a stream can be cut at newlines."""
    harborx("users", "add", "a@example.com", "--password-stdin", stdin="long enough pass\n")
    harborx("onboard", "m-1", "host.example", "--gpu-name", "Größe 🚀")
    line = harborx("instances", "--json").out
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["gpu_name"] == "Größe 🚀"
