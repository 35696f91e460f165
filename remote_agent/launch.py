"""`launch`: start a run's supervisor or attach to it, then follow what it says."""

import contextlib
import os
import sys
from typing import Dict, List, Optional

from remote_agent import ended, own_code, processes, runs_lock, spec
from remote_agent.follow import follow
from remote_agent.output import Answers, write_all
from remote_agent.run_folder import EpochRefused, FolderGone, RunFolder

_LOCK_SECONDS = 30.0
_ENDING_SECONDS = 2.0  # for a run that has written its exit file to be gone


class LaunchFailed(Exception):
    """The run could not be started; the text is one sentence."""


class Busy(Exception):
    """The machine is not free to measure; the text says by what it is taken."""


def launch(run_id: str, epoch: int, offset: int, marker: str, sha256: str, line: str = "") -> int:
    """
    Starts the run of the spec `line`, or attaches to it; without one it attaches only.

    Answers on stdout with one line, after `begin` with events.ndjson from byte `offset` on.

    Returns 0 whenever an answer was given: the answer, not the exit status, says what happened.
    """
    os.umask(0o077)
    answers = Answers(marker)
    try:
        if own_code.sha256() != sha256:
            answers.say("damaged")
            return 0
        folder = RunFolder.of(run_id)
        try:
            beginning = _start_or_attach(folder, run_id, epoch, offset, line)
        except EpochRefused as refused:
            answers.say(f"refused {refused.known}")
            return 0
        except Busy as busy:
            answers.say(f"busy {busy}")
            return 0
        except (LaunchFailed, ValueError, OSError) as error:
            answers.say(f"failed {error}")
            return 0
        answers.say(f"begin {beginning}")
        follow(folder, offset, answers)
    except BrokenPipeError:
        pass  # the connection is gone; the supervisor goes on without it
    return 0


def _start_or_attach(folder: RunFolder, run_id: str, epoch: int, offset: int, line: str) -> str:
    # Bytes that were read before belong to a run that was started before: where its folder is
    # gone, a second run under the first one's offset would be neither.
    orders = spec.parse(line) if line and offset == 0 else None
    if orders and orders.run_id != run_id:
        raise LaunchFailed("the spec belongs to another run")
    for _ in range(5):
        if orders:
            folder.create()
        elif not folder.exists():
            break
        try:
            with folder.locked(_LOCK_SECONDS):
                folder.admit(epoch)
                # Whoever made the folder and died before starting anything has also lost the lock.
                if not orders or folder.was_started() or folder.read_exit():
                    return "attached"
                _refuse_ended(folder, run_id, epoch)
                _start_if_free(folder, orders, line)
                return "started"
        except FolderGone:
            continue
    if orders:
        raise LaunchFailed("the run's folder is removed again and again")
    return "attached"


def _refuse_ended(folder: RunFolder, run_id: str, epoch: int) -> None:
    """Raises `EpochRefused`, without a folder, where the run was ended and removed by no older epoch."""
    known = ended.epoch_of(run_id)
    if known >= epoch:
        with contextlib.suppress(OSError):
            folder.remove()
        raise EpochRefused(known)


def _start_if_free(folder: RunFolder, orders: spec.Spec, line: str) -> None:
    """Starts the supervisor. Raises `Busy`, without a folder, where somebody else is at work."""
    try:
        with runs_lock.held(_ENDING_SECONDS) as lock:
            use = _gpu_in_use(orders.options.device)
            if use:
                raise Busy(f"gpu {use}")
            _start(folder, orders.run_id, line, lock)
    except (runs_lock.Taken, Busy) as taken:
        with contextlib.suppress(OSError):
            folder.remove()
        raise Busy(str(taken)) from None


def _gpu_in_use(device: str) -> Optional[str]:
    if device == "cpu":
        return None
    from remote_agent.machine import nvml  # late, like all that attaching needs not

    if not nvml.has_driver():
        return None
    from remote_agent.machine import occupancy

    return occupancy.gpu_in_use()


def _start(folder: RunFolder, run_id: str, line: str, lock: Optional[int]) -> None:
    folder.write("spec.json", line + "\n")
    os.close(os.open(folder.events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    environ = dict(os.environ, **{processes.COOKIE: run_id})
    try:
        _detach(folder, own_code.command(sys.executable, "supervise", folder.path), environ, lock)
    except BaseException:
        folder.forget_supervisor()
        raise


def _detach(
    folder: RunFolder, argv: List[str], environ: Dict[str, str], lock: Optional[int]
) -> None:
    """
    Runs `argv` in a session of its own, orphaned, with `lock` open; returns once exec has succeeded.
    """
    report, reporter = os.pipe()  # closed by a successful exec, so an empty report is good news
    middle = os.fork()
    if middle == 0:
        if lock is not None:
            os.set_inheritable(lock, True)  # here alone: no other child of ours shall hold it
        _become_supervisor(folder, argv, environ, reporter)
    os.close(reporter)
    os.waitpid(middle, 0)
    with os.fdopen(report, "rb") as file:
        trouble = file.read()
    if trouble:
        raise LaunchFailed(trouble.decode("utf-8", "replace"))


def _become_supervisor(
    folder: RunFolder, argv: List[str], environ: Dict[str, str], reporter: int
) -> None:
    """Goes on as the supervisor; never returns into what belongs to its parent."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.umask(0o077)
        os.chdir("/")
        log = os.open(folder.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDWR)
        for source, target in ((nothing, 0), (nothing, 1), (log, 2)):
            os.dup2(source, target)
        folder.note_supervisor()
        os.execve(argv[0], argv, environ)  # noqa: S606 - our own interpreter
    except BaseException as error:
        write_all(reporter, f"the supervisor could not start: {error}".encode("utf-8", "replace"))
    finally:
        os._exit(1)
