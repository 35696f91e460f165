"""`clean`: end what still runs of a run, remove its folder, and tell which others are there."""

import contextlib
import os
import shutil
from typing import Optional, Set

from remote_agent import ended, processes, runs_lock
from remote_agent.output import Answers
from remote_agent.run_folder import EpochRefused, FolderGone, RunFolder, home, removed, run_ids

_LOCK_SECONDS = 30.0
_SUPERVISOR_SECONDS = 8.0  # it gives its tree a grace of 5
_LEFT_ALONE_SECONDS = 2.0
_MOST_TOLD = 20


def clean(run_id: str, epoch: int, marker: str, keep: Optional[str]) -> int:
    """
    Answers `cleaned` and the other runs that have a folder here, as often as it is asked; `refused`
    where a newer epoch has spoken, or `failed` with a reason where the run can't be ended or its
    folder not be removed. Returns 0.

    Of the agents that lie here only the one with the digest `keep` stays, if that is given.
    """
    answers = Answers(marker)
    try:
        _end_and_remove(RunFolder.of(run_id), run_id, epoch)
        for leavings in removed():
            shutil.rmtree(leavings, ignore_errors=True)
        if keep:
            _remove_agents_except(keep)
        others = [other for other in run_ids() if other != run_id]
        answers.say(" ".join(["cleaned", *others[:_MOST_TOLD]]))
    except EpochRefused as refused:
        answers.say(f"refused {refused.known}")
    except BrokenPipeError:
        pass  # nobody waits for the answer; asking again will do no harm
    except OSError as error:
        answers.say(f"failed {error}")
    return 0


def _end_and_remove(folder: RunFolder, run_id: str, epoch: int) -> None:
    while folder.exists():
        try:
            with folder.locked(_LOCK_SECONDS):
                folder.admit(epoch)
                _end(folder, run_id)
                _note_ended(run_id, epoch)  # while the folder still says so too
                folder.remove()
                return
        except FolderGone:
            continue  # if it is there again, a newer epoch may have made it
    _note_ended(run_id, epoch)
    processes.end(lambda: processes.bearers(run_id), 0.0)
    folder.remove_leavings()


def _note_ended(run_id: str, epoch: int) -> None:
    with contextlib.suppress(OSError):  # a full disk must not keep us from freeing some
        ended.note(run_id, epoch)


def _end(folder: RunFolder, run_id: str) -> None:
    def find() -> Set[int]:
        supervisor = folder.supervisor()
        family = processes.descendants(supervisor) | {supervisor} if supervisor else set()
        return family | processes.bearers(run_id)

    supervisor = folder.supervisor()
    if supervisor is None:
        processes.end(find, _LEFT_ALONE_SECONDS)
        return
    # It alone is told: it ends its tree better than we can, since orphans become its children.
    processes.end(find, _SUPERVISOR_SECONDS, {supervisor})
    if folder.supervisor():  # `cleaned` says that the next run may start, and it has the lock
        raise OSError(f"the run's supervisor, process {supervisor}, can't be ended")


def _remove_agents_except(digest: str) -> None:
    """Not while a run of this home is alive: a Python opens its archive again for each import."""
    folder = os.path.join(home(), "agents")
    with contextlib.suppress(runs_lock.Taken, OSError), runs_lock.held(0.0) as lock:
        if lock is None:
            return
        for name in os.listdir(folder):
            if name.endswith((".pyz", ".part")) and not name.startswith(digest):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))
