"""`clean`: end what still runs of a run and remove its folder."""

import os
import shutil

from remote_agent import processes
from remote_agent.output import Answers
from remote_agent.run_folder import EpochRefused, FolderGone, RunFolder

_LOCK_SECONDS = 30.0


def clean(run_id: str, epoch: int, marker: str) -> int:
    """
    Answers `cleaned`, as often as it is asked, `refused` where a newer epoch has spoken, or
    `failed` with a reason where the folder can't be removed. Returns 0.
    """
    answers = Answers(marker)
    try:
        _end_and_remove(RunFolder.of(run_id), run_id, epoch)
        answers.say("cleaned")
    except EpochRefused as refused:
        answers.say(f"refused {refused.known}")
    except BrokenPipeError:
        pass  # nobody waits for the answer; asking again will do no harm
    except OSError as error:
        answers.say(f"failed {error}")
    return 0


def _end_and_remove(folder: RunFolder, run_id: str, epoch: int) -> None:
    leavings = folder.path + ".removed"
    try:
        with folder.locked(_LOCK_SECONDS):
            folder.admit(epoch)
            _end(folder, run_id)
            shutil.rmtree(leavings, ignore_errors=True)
            # Renamed first: a launch finds the whole folder or none, never half of one.
            os.rename(folder.path, leavings)
    except FolderGone:
        processes.end(lambda: processes.bearers(run_id), 0.0)
    if os.path.isdir(leavings):
        shutil.rmtree(leavings)


def _end(folder: RunFolder, run_id: str) -> None:
    def find() -> "set[int]":
        supervisor = folder.supervisor()
        family = processes.descendants(supervisor) | {supervisor} if supervisor else set()
        return family | processes.bearers(run_id)

    # The supervisor passes SIGTERM on to its tree, with a grace of its own.
    processes.end(find, 2.0)
