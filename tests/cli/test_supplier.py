"""Accounts, keys, machines and schedules: what is put on record from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from orchestrator.ssh.keys import generate_key_pair
from tests.cli.conftest import Harborx
from tests.cli.stories import Storyteller

PASSWORD = "correct horse battery"


@pytest.fixture
def account(harborx: Harborx) -> str:
    added = harborx("users", "add", "A@Example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert added.status == 0
    assert PASSWORD not in added.out + added.err
    return "a@example.com"


def test_an_account_is_made_once(harborx: Harborx, account: str) -> None:
    """A second account with the same address is refused with its code."""
    again = harborx("users", "add", account, "--password-stdin", "--json", stdin=f"{PASSWORD}\n")
    assert (again.status, again.error["error"]) == (1, "account_exists")


@pytest.mark.parametrize(("email", "password"), [("a@example.com", "short"), ("nobody", PASSWORD)])
def test_a_bad_account_is_refused(harborx: Harborx, email: str, password: str) -> None:
    """A short password or a text that is no address is bad input."""
    finished = harborx("users", "add", email, "--password-stdin", "--json", stdin=password + "\n")
    assert (finished.status, finished.error["error"]) == (2, "invalid_input")


def test_a_password_is_not_asked_for_without_a_terminal(harborx: Harborx) -> None:
    """Where nobody can type, the command says to use --password-stdin instead of hanging."""
    finished = harborx("users", "add", "a@example.com")
    assert finished.status == 2
    assert "--password-stdin" in finished.err


def test_the_account_is_chosen_by_address(harborx: Harborx, account: str) -> None:
    """With several accounts --user says whose; without it nothing is guessed."""
    harborx("users", "add", "b@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert harborx("onboard", "m1", "host.example", "--user", account).status == 0
    assert harborx("instances", "--json").error["error"] == "not_found"
    assert len(harborx("instances", "--json", "--user", account).documents) == 1
    assert harborx("instances", "--json", "--user", "b@example.com").documents == []
    assert harborx("instances", "--user", "c@example.com").status == 1


def test_onboarding_without_a_key_gives_the_line_to_authorize(
    harborx: Harborx, account: str
) -> None:
    """stdout is exactly the line for authorized_keys, so that it can be piped."""
    finished = harborx("onboard", "m1", "host.example", "--port", "2222", "--ssh-user", "gpu")
    assert finished.status == 0
    assert finished.out.startswith("ssh-ed25519 ")
    assert len(finished.out.splitlines()) == 1
    shown = harborx("instances", "--json").document
    assert (shown["ssh_host"], shown["ssh_port"], shown["ssh_user"]) == (
        "host.example",
        2222,
        "gpu",
    )


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_onboarding_with_a_key(harborx: Harborx, account: str, tmp_path: Path, source: str) -> None:
    """A private key is read from a file or stdin, and neither printed nor asked for again."""
    pair = generate_key_pair()
    (tmp_path / "key").write_text(pair.private_key)
    key = str(tmp_path / "key") if source == "file" else "-"
    finished = harborx("onboard", "m1", "host.example", "--key", key, stdin=pair.private_key)
    assert finished.status == 0
    assert finished.out == ""
    shown = harborx("instances", "m1")
    assert pair.public_key in shown.out
    assert "PRIVATE" not in finished.err + shown.out + shown.err


def test_onboarding_with_the_shared_key(harborx: Harborx, account: str, tmp_path: Path) -> None:
    """Every machine that is onboarded so gives the same line to authorize; a key of one's own beside it is refused."""
    first, second = (harborx("onboard", name, "host.example", "--login", "shared") for name in "ab")
    assert (first.status, second.status) == (0, 0)
    assert first.out == second.out
    assert first.out.startswith("ssh-ed25519 ")
    assert first.out.strip() in harborx("instances", "a").out
    (tmp_path / "key").write_text(generate_key_pair().private_key)
    flags = ("--login", "shared", "--key", str(tmp_path / "key"), "--json")
    both = harborx("onboard", "c", "host.example", *flags)
    assert (both.status, both.error["error"]) == (2, "invalid_input")


def test_a_bad_key_file_is_refused(harborx: Harborx, account: str, tmp_path: Path) -> None:
    """What is no private key is a login problem, a missing file is bad input; nothing is stored."""
    (tmp_path / "key").write_text("not a key")
    bad = harborx("onboard", "m1", "host.example", "--key", str(tmp_path / "key"), "--json")
    assert (bad.status, bad.error["error"]) == (6, "credential_unusable")
    missing = harborx("onboard", "m1", "host.example", "--key", "nowhere", "--json")
    assert (missing.status, missing.error["error"]) == (2, "invalid_input")
    assert harborx("instances", "--json").documents == []


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--port", "70000"), "--ssh-port"),
        (("--gpu-count", "-1"), "--gpu-count"),
        (("--disk-space-gb", "nan"), "--disk-space-gb"),
        (("--metadata", "{"), "--metadata"),
        (("--metadata", "[]"), "--metadata"),
        (("--gpu-name", "H100\x1b[31m"), "--gpu-name"),
    ],
)
def test_bad_fields_are_named(
    harborx: Harborx, account: str, flags: tuple[str, str], named: str
) -> None:
    """A field that can't be is refused by the rules of the API, and named."""
    finished = harborx("onboard", "m1", "host.example", "--json", *flags)
    assert (finished.status, finished.error["error"]) == (2, "invalid_input")
    assert named in finished.error["message"]


def test_an_instance_is_onboarded_once(harborx: Harborx, account: str) -> None:
    """The same provider's id twice is refused with the code of that case."""
    harborx("onboard", "m1", "host.example")
    again = harborx("onboard", "m1", "host.example", "--json")
    assert (again.status, again.error["error"]) == (1, "already_onboarded")


def test_instances_are_listed(harborx: Harborx, story: Storyteller) -> None:
    """The table has one plain line an instance where nobody draws."""
    lines = harborx("instances").out.splitlines()
    assert [line.split()[0] for line in lines] == ["INSTANCE", "m1"]
    assert "root@198.51.100.7:22" in lines[1]


def test_a_key_is_shown_once(harborx: Harborx, account: str) -> None:
    """Creating prints the key alone; the list names it by id and never has it again."""
    made = harborx("keys", "create", "--name", "ci", "--expires-days", "30", "--scope", "read")
    assert made.status == 0
    key = made.out.strip()
    assert key.startswith("hx_live_")
    listed = harborx("keys", "list", "--json")
    assert (listed.document["name"], listed.document["scopes"]) == ("ci", ["read"])
    assert listed.document["public_id"] == key.split("_")[2]
    secret = key.rsplit("_", 1)[1]
    assert secret not in listed.out + harborx("keys", "list").out + made.err


def test_a_key_is_revoked_once(harborx: Harborx, account: str) -> None:
    """A key is revoked by the id that the list shows; a second time there is nothing to revoke."""
    public_id = harborx("keys", "create", "--name", "ci").out.split("_")[2]
    assert harborx("keys", "revoke", public_id).status == 0
    again = harborx("keys", "revoke", public_id, "--json")
    assert (again.status, again.error["error"]) == (1, "not_found")
    assert harborx("keys", "list", "--json").document["revoked_at"] is not None


def test_service_role_keys_are_the_operators(harborx: Harborx, account: str) -> None:
    """A service-role key belongs to no supplier and is in no supplier's list."""
    assert harborx("keys", "create", "--name", "front end", "--service-role").status == 0
    assert harborx("keys", "list", "--json").documents == []
    [operators] = harborx("keys", "list", "--json", "--service-role").documents
    assert operators["role"] == "service_role"
    assert harborx("keys", "revoke", operators["public_id"], "--service-role").status == 0


def test_the_key_of_an_instance(harborx: Harborx, story: Storyteller) -> None:
    """`keys create --instance` makes a key that submits for this machine, for seven days, and lists as such."""
    made = harborx("keys", "create", "--instance", "m1")
    assert (made.status, made.out[:8]) == (0, "hx_live_")
    listed = harborx("keys", "list", "--json").document
    instance = harborx("instances", "--json").document
    assert (listed["instance_id"], listed["scopes"]) == (instance["id"], ["submit"])
    assert listed["name"] == "Submits for m1"
    lasts = datetime.fromisoformat(listed["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6) < lasts < timedelta(days=7, minutes=1)
    assert instance["id"] in harborx("keys", "list").out
    for wrong in (["--service-role"], ["--scope", "read"], ["--expires-days", "91"]):
        assert harborx("keys", "create", "--instance", "m1", *wrong).status == 2
    assert harborx("keys", "create").status == 2
    assert harborx("keys", "create", "--instance", "m2", "--json").error["error"] == "not_found"


def test_an_unknown_scope_is_refused(harborx: Harborx, account: str) -> None:
    """Scopes are those there are."""
    finished = harborx("keys", "create", "--name", "ci", "--scope", "all", "--json")
    assert (finished.status, finished.error["error"]) == (2, "invalid_input")


def test_a_schedule_by_hours(harborx: Harborx, story: Storyteller) -> None:
    """`schedule set` answers with the next five due times, evenly spaced."""
    made = harborx("schedule", "set", "m1", "--every-hours", "6", "--json").document
    due = [datetime.fromisoformat(each) for each in made["due"]]
    assert {(b - a).total_seconds() for a, b in pairwise(due)} == {6 * 3600.0}
    assert len(due) == 5
    assert datetime.fromisoformat(made["next_due_at"]) == due[0]


def test_a_schedule_by_cron_in_its_time_zone(harborx: Harborx, story: Storyteller) -> None:
    """Due times of a cron line are shown in its own time zone, data on stdout."""
    made = harborx(
        *("schedule", "set", "m1", "--cron", "30 4 * * *", "--timezone", "Europe/Berlin"),
        *("--jitter", "60", "--batch-size", "8"),
    )
    assert made.status == 0
    assert len(made.out.splitlines()) == 5
    assert all(" 04:30:00 CE" in line for line in made.out.splitlines())
    assert "60 s" in made.err
    assert harborx("schedule", "list", "--json").document["options"] == {"batch_size": 8}


def test_a_schedule_is_turned_off_on_and_removed(harborx: Harborx, story: Storyteller) -> None:
    """Off keeps the schedule and its policy, on counts from now, remove forgets it."""
    harborx("schedule", "set", "m1", "--every-hours", "1", "--batch-size", "8", "--misfire", "skip")
    assert harborx("schedule", "off", "m1", "--json").document["enabled"] is False
    on = harborx("schedule", "on", "m1", "--json").document
    assert (on["enabled"], on["every_hours"], on["options"]) == (True, 1, {"batch_size": 8})
    assert on["misfire"] == "skip"
    assert "every hour" in harborx("schedule", "list").out
    assert harborx("schedule", "remove", "m1").status == 0
    assert harborx("schedule", "list", "--json").documents == []
    again = harborx("schedule", "remove", "m1", "--json")
    assert (again.status, again.error["error"]) == (1, "not_found")


def test_a_schedule_tells_what_became_of_its_due_times(
    harborx: Harborx, story: Storyteller
) -> None:
    """`schedule show` has a line for each due time in words, several missed ones in one line."""
    harborx("schedule", "set", "m1", "--every-hours", "1")
    assert "made up for by one test" in harborx("schedule", "show", "m1").out
    story.alter(
        "UPDATE gpu_test_schedules SET next_due_at = now() - interval '130 minutes',"
        " next_fire_at = now() - interval '130 minutes'"
    )
    story.run_schedules()
    [run] = story.runs()
    shown = harborx("schedule", "show", "m1").out
    _, fired, missed = shown.splitlines()[-3:]
    assert fired.split()[-3:] == ["run", "requested", str(run.id)]
    assert "(2 times)" in missed
    assert "missed: no worker was running" in missed
    document = harborx("schedule", "show", "m1", "--json").document
    assert [each["outcome"] for each in document["firings"]] == ["fired", "missed"]
    assert "run requested" in harborx("schedule", "list").out


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--every-hours", "1", "--cron", "* * * * *"),
        ("--every-hours", "0"),
        ("--cron", "every day"),
        ("--cron", "0 4 31 2 *"),
        ("--cron", "0 4 * * *", "--timezone", "Mars/Olympus"),
        ("--every-hours", "1", "--jitter", "-1"),
        ("--every-hours", "1", "--image-size", "7"),
    ],
)
def test_a_bad_schedule_is_refused(
    harborx: Harborx, story: Storyteller, flags: tuple[str, ...]
) -> None:
    """A timetable that can't be read or never comes is bad input, and nothing is stored."""
    finished = harborx("schedule", "set", "m1", "--json", *flags)
    assert (finished.status, finished.error["error"]) == (2, "invalid_input")
    assert harborx("schedule", "list", "--json").documents == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("schedule", "set", "m9", "--every-hours", "1"),
        ("schedule", "off", "m1"),
        ("schedule", "show", "m1"),
        ("cancel", "00000000-0000-4000-8000-000000000000"),
        ("cancel", "nonsense"),
        ("instances", "m9"),
        ("runs", "--instance", "m9"),
        ("runs", "00000000-0000-4000-8000-000000000000"),
        ("runs", "m1"),
        ("results", "00000000-0000-4000-8000-000000000000"),
        ("watch", "nonsense"),
        ("test", "m9"),
        ("keys", "revoke", "nonsense"),
    ],
)
def test_unknown_things_are_not_found(
    harborx: Harborx, story: Storyteller, arguments: tuple[str, ...]
) -> None:
    """An id that is unknown, or no id at all, is `not_found` with a remedy, never a crash."""
    finished = harborx(*arguments, "--json")
    assert (finished.status, finished.error["error"]) == (1, "not_found")
    assert finished.error["remedy"]
