"""From a fresh machine to a run that is followed."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from orchestrator.domain.errors import (
    ConnectionLost,
    GpuBusy,
    LaunchError,
    LaunchFailed,
    MachineBusy,
    PythonMissing,
    RunTakenOver,
)
from orchestrator.ssh import agent_call
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines, connect
from orchestrator.ssh.launch import Order, launch
from tests.machines import (
    TOOLS,
    SshdMachine,
    bin_folder,
    default_path,
    scripted_machine,
    sshd_machine,
)
from tests.ssh.conftest import appears, everything
from tests.ssh.stand_in import spec

ONE_LINE = spec(first='{"a": 1}\n', then='{"b": 2}\n', status=3)
BOTH = b'{"a": 1}\n{"b": 2}\n'
HELD = spec(first='{"a": 1}\n', hold=True, then='{"b": 2}\n', status=3)


def stored(machine: SshdMachine, agent: AgentArchive) -> Path:
    return machine.home / ".harborx" / "agents" / f"{agent.sha256}.pyz"


async def test_a_fresh_machine_gets_the_agent_and_runs_it(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """The first launch brings the agent along, starts the run, and gives its bytes and its end."""
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
    ):
        assert (following.attached, following.pushed) == (False, "exec")
        assert await everything(following) == BOTH
        assert following.end is not None
        assert (following.end.status, following.end.bytes) == (3, len(BOTH))
        assert following.end.stderr_tail == "tail red"
    assert stored(machine, agent).stat().st_mode & 0o777 == 0o600
    assert (machine.home / ".harborx" / "runs").stat().st_mode & 0o777 == 0o700


async def test_the_second_launch_costs_one_exec_and_no_push(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """Where the agent is, a launch is a single session."""
    async with connect(machine.target()) as connection:
        async with launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following:
            await everything(following)
        before = machine.log.count("Starting session")
        async with launch(connection, agent, Order("run-2", 1, 0, ONE_LINE)) as following:
            assert (following.attached, following.pushed) == (False, None)
            assert await everything(following) == BOTH
        assert machine.log.count("Starting session") == before + 1


async def test_a_run_outlives_its_connection_and_is_attached_to(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """Leaving ends the follower only; a later launch goes on from the stored offset."""
    run = machine.home / ".harborx" / "runs" / "run-1"
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1, 0, HELD)) as following,
    ):
        async for chunk in following.chunks(deadline=float("inf")):
            assert chunk == BOTH[:9]
            break
    await appears(run / "follower_left")
    (run / "go").touch()
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 2, 9)) as following,
    ):
        assert following.attached
        assert await everything(following) == BOTH[9:]
        assert following.end is not None
        assert following.end.status == 3


async def test_a_run_is_followed_while_it_runs(machine: SshdMachine, agent: AgentArchive) -> None:
    """The follower's stdin stays open: what comes later arrives, and then the end."""
    run = machine.home / ".harborx" / "runs" / "run-1"
    got = b""
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1, 0, HELD)) as following,
    ):
        async for chunk in following.chunks(deadline=float("inf")):
            got += chunk
            (run / "go").touch()
        assert got == BOTH
        assert following.end is not None
        assert following.end.status == 3


async def test_leaving_the_launch_alone_ends_the_follower(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """The end of the block is the end of the follower's stdin, also on a connection that stays."""
    run = machine.home / ".harborx" / "runs" / "run-1"
    async with connect(machine.target()) as connection:
        async with launch(connection, agent, Order("run-1", 1, 0, HELD)):
            pass
        await appears(run / "follower_left")
    (run / "go").touch()


@pytest.mark.parametrize("runnable", [True, False])
async def test_a_damaged_agent_is_replaced(
    machine: SshdMachine, agent: AgentArchive, runnable: bool
) -> None:
    """An agent that does not hash to its name, or does not start, is pushed again, once."""
    stored(machine, agent).parent.mkdir(parents=True)
    damaged = agent.content.replace(b"env python3", b"env pythonX")
    stored(machine, agent).write_bytes(damaged if runnable else b"\0" * len(damaged))
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
    ):
        assert following.pushed == "exec"
        assert await everything(following) == BOTH
    assert stored(machine, agent).read_bytes() == agent.content


async def test_half_a_push_is_not_taken_for_an_agent(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """A file of the wrong size, left by a push that broke off, is overwritten."""
    stored(machine, agent).parent.mkdir(parents=True)
    stored(machine, agent).with_suffix(".pyz.part").write_bytes(agent.content[:100])
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
    ):
        assert following.pushed == "exec"
        assert await everything(following) == BOTH


async def test_a_newer_epoch_wins(machine: SshdMachine, agent: AgentArchive) -> None:
    """A worker whose epoch is over is told so and stops."""
    async with connect(machine.target()) as connection:
        async with launch(connection, agent, Order("run-1", 5, 0, ONE_LINE)) as following:
            await everything(following)
        with pytest.raises(RunTakenOver) as caught:
            async with launch(connection, agent, Order("run-1", 4)):
                pass
    assert caught.value.evidence["epoch"] == "5"


async def test_a_machine_without_python_says_so(
    tmp_path: Path, agent: AgentArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No interpreter, or only too old ones, is an answer of its own."""
    names = tuple(each for each in agent_call.INTERPRETERS if not each.startswith("/"))
    monkeypatch.setattr(agent_call, "INTERPRETERS", names)
    path = bin_folder(tmp_path / "bin", tools=TOOLS, python3="#!/bin/sh\nexit 1\n")
    with sshd_machine(path=path) as machine:
        async with connect(machine.target()) as connection:
            with pytest.raises(PythonMissing):
                async with launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)):
                    pass


async def test_an_old_python_is_passed_over(tmp_path: Path, agent: AgentArchive) -> None:
    """A python3 before 3.8, or one that does not start, does not hide a newer one."""
    real = str(Path(default_path().split(":")[0], "python3"))
    old = "#!/bin/sh\nexit 1\n"
    path = bin_folder(tmp_path / "bin", python3=old, python3_9=real)
    with sshd_machine(path=path) as machine:
        async with (
            connect(machine.target()) as connection,
            launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
        ):
            assert await everything(following) == BOTH


async def test_a_launch_that_fails_says_why(machine: SshdMachine, agent: AgentArchive) -> None:
    """The agent's own line of failure reaches the error."""
    async with connect(machine.target()) as connection:
        with pytest.raises(LaunchFailed, match="nothing to attach to"):
            async with launch(connection, agent, Order("run-1", 1)):
                pass


async def test_a_home_that_cannot_be_written_says_why(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """A file where our folder should be is a launch failure with the shell's own words."""
    (machine.home / ".harborx").write_text("in the way")
    async with connect(machine.target()) as connection:
        with pytest.raises(LaunchFailed, match="cannot make") as caught:
            async with launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)):
                pass
    assert "mkdir" in caught.value.evidence["stderr"]


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash", "/bin/bash --posix"])
async def test_the_login_shell_does_not_matter(shell: str, agent: AgentArchive) -> None:
    """Whatever shell hands the command over, the script runs in /bin/sh."""
    with sshd_machine(shell=shell) as machine:
        async with (
            connect(machine.target()) as connection,
            launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
        ):
            assert await everything(following) == BOTH


@pytest.mark.parametrize("text", [agent_call.script(), agent_call.boot()])
def test_the_script_survives_every_login_shell(text: str) -> None:
    """No character of it means something inside single quotes of sh, bash, zsh, fish or csh."""
    assert not set(text) & set("'\\!\n")
    assert text.isascii()


@pytest.mark.parametrize("expected", [True, False])
async def test_a_wrong_guess_costs_time_and_nothing_else(
    machine: SshdMachine, agent: AgentArchive, expected: bool
) -> None:
    """An agent that is sent though it is there, or awaited though it is not, runs all the same, in one session."""
    if not expected:
        stored(machine, agent).parent.mkdir(parents=True)
        stored(machine, agent).write_bytes(agent.content)
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1, 0, ONE_LINE), expected=expected) as following,
    ):
        assert following.pushed == ("exec" if expected else None)
        assert await everything(following) == BOTH
    assert machine.log.count("Starting session") == 1
    assert stored(machine, agent).read_bytes() == agent.content


async def test_scp_takes_over_where_the_exec_brings_nothing(
    tmp_path: Path, agent: AgentArchive
) -> None:
    """A machine whose interpreter gets nothing from the exec's stdin, twice, is sent the agent by SCP."""
    real = str(Path(default_path().split(":")[0], "python3"))
    deaf = f"""#!/bin/sh
tried=$(cat "$HOME/tried" 2> /dev/null)
echo "x$tried" > "$HOME/tried"
if [ ${{#tried}} -lt 2 ]; then exit 0; fi
exec {real} "$@"
"""
    path = bin_folder(tmp_path / "bin", python3=deaf)
    with sshd_machine(path=path) as machine:
        async with (
            connect(machine.target()) as connection,
            launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
        ):
            assert following.pushed == "scp"
            assert await everything(following) == BOTH


async def test_a_copy_that_does_not_fit_leaves_nothing_behind(
    tmp_path: Path, agent: AgentArchive
) -> None:
    """Where the agent can't be written whole, the part of it that was does not stay; SCP has its turn."""
    real = str(Path(default_path().split(":")[0], "python3"))
    path = bin_folder(tmp_path / "bin", python3=f'#!/bin/sh\nulimit -f 1\nexec {real} "$@"\n')
    with sshd_machine(path=path) as machine:
        async with (
            connect(machine.target()) as connection,
            launch(connection, agent, Order("run-1", 1, 0, ONE_LINE)) as following,
        ):
            assert following.pushed == "scp"
            assert await everything(following) == BOTH
        assert list(stored(machine, agent).parent.iterdir()) == [stored(machine, agent)]


@pytest.mark.parametrize("run_id", ["", "a b", "x;reboot", "$(x)", "../..'", "a\nb", "x" * 200])
async def test_only_plain_words_reach_the_command_line(
    machine: SshdMachine, agent: AgentArchive, run_id: str
) -> None:
    """A word that some shell could read as more than a word is refused on our side."""
    async with connect(machine.target()) as connection:
        with pytest.raises(ValueError, match="every shell"):
            async with launch(connection, agent, Order(run_id, 1)):
                pass
    assert "Starting session" not in machine.log


@pytest.mark.parametrize(
    "wrong", [{"epoch": -1}, {"offset": -1}, {"spec": "a\nb"}, {"spec": "x" * 70_000}]
)
def test_an_order_is_checked(wrong: dict[str, int | str]) -> None:
    """Counts start at 0, and a spec is one line of at most 64 KiB."""
    with pytest.raises(ValueError, match="one line"):
        Order(**{"run_id": "x", "epoch": 1, **wrong})  # type: ignore[arg-type]


def test_specs_stay_out_of_repr() -> None:
    """The nonce of a run, which its events are told apart by, is not logged with the order."""
    assert "secret" not in repr(Order("x", 1, 0, json.dumps({"nonce": "secret"})))


async def test_chatter_before_the_answer_is_dropped(agent: AgentArchive) -> None:
    """A greeting without a newline, and another marker's line, are not taken for the answer."""
    async with (
        scripted_machine("greeting") as machine,
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1)) as following,
    ):
        assert await everything(following) == b"one\ntwo\n"
        assert following.end is not None
        assert following.end.status == 0


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("silent", "No answer within"),
        ("endless_greeting", "too much"),
        ("no_answer", "without an answer"),
        ("failed", "no space left"),
    ],
)
async def test_no_proper_answer_is_a_failed_launch(
    script: str, says: str, agent: AgentArchive, brief: Deadlines
) -> None:
    """Silence, a flood, an early end and a refusal end in time, each with what was seen."""
    async with scripted_machine(script) as machine:
        async with connect(machine.target(), deadlines=brief) as connection:
            with pytest.raises(LaunchFailed, match=says) as caught:
                async with launch(connection, agent, Order("run-1", 1), deadlines=brief):
                    pass
        assert set(caught.value.evidence) == {"stdout", "stderr"}
        assert len(caught.value.evidence["stdout"]) <= 4096
        assert len(machine.execs) <= 2


async def test_a_machine_that_always_wants_the_agent_gets_it_once(
    agent: AgentArchive, brief: Deadlines
) -> None:
    """A machine can't have us push for ever: twice with the exec, once by SCP, and it is over."""
    async with scripted_machine("always_missing") as machine:
        async with connect(machine.target(), deadlines=brief) as connection:
            with pytest.raises(LaunchFailed, match="whole"):
                async with launch(connection, agent, Order("run-1", 1), deadlines=brief):
                    pass
        assert sum("--marker" in command for command in machine.execs) == 3


async def test_a_refusal_by_a_newer_epoch_is_final(agent: AgentArchive) -> None:
    """The refusal is not retried and carries the epoch."""
    async with scripted_machine("refused") as machine:
        async with connect(machine.target()) as connection:
            with pytest.raises(RunTakenOver):
                async with launch(connection, agent, Order("run-1", 1)):
                    pass
        assert len(machine.execs) == 1


async def test_a_connection_that_is_gone_is_not_a_failed_launch(agent: AgentArchive) -> None:
    """A launch on a broken connection says that the connection broke."""
    async with scripted_machine("silent") as machine, connect(machine.target()) as connection:
        for each in machine.connections:
            each.abort()
        with pytest.raises(ConnectionLost):
            async with launch(connection, agent, Order("run-1", 1)):
                pass


@pytest.mark.parametrize(
    ("script", "error", "told"),
    [("busy_gpu", GpuBusy, "card 0"), ("busy_run", MachineBusy, "Another test")],
)
async def test_a_busy_machine_is_told_as_such(
    script: str, error: type[LaunchError], told: str, agent: AgentArchive
) -> None:
    """Where nothing may start now the launch says why, safe to show, and names the other run."""
    async with (
        scripted_machine(script) as machine,
        connect(machine.target()) as connection,
    ):
        with pytest.raises(error, match=told) as caught:
            async with launch(connection, agent, Order("run-1", 1, 0, spec())):
                pass
    assert "\x1b" not in str(caught.value)
    assert caught.value.evidence == (
        {"other_run": str(UUID(int=5))} if error is MachineBusy else {}
    )
