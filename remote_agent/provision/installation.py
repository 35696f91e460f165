"""
Install torch into ~/.harborx/venv; never into a Python of the supplier's.

Nothing that was downloaded is lost with an installation that is interrupted: pip and uv keep it in
~/.harborx/wheels.part, which goes when torch has been seen to import. What was half unpacked is made
anew: without the mark that is written then, an environment counts for nothing.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from typing import List, NamedTuple, Optional
from urllib.parse import urlsplit

from remote_agent.failure import Failure
from remote_agent.provision import builds, diagnosis, interpreters, places
from remote_agent.provision.commands import DISK, NETWORK, NOTHING, Commands, Tell, temporary
from remote_agent.provision.interpreters import Interpreter
from remote_agent.provision.target import Target
from remote_agent.spec import Provisioning
from remote_agent.supervisor import FULL_DISK

_CREATE_SECONDS = 120.0
_LOCK_POLL_SECONDS = 1.0
_MOST_BREAKS = 3  # of the connection, while something is being downloaded
_BREAK_SECONDS = 3.0
_UNPACKED = (
    4.0  # times a wheel: the CPU build of 2.13 for Python 3.11 unpacks to 3.6 times its size
)
_TARGET = "import sysconfig; print(sysconfig.get_path('purelib'))"


class Plan(NamedTuple):
    """What is to be installed, and with which Python of the machine the environment is made."""

    base: Interpreter
    orders: Provisioning
    target: Target
    wants_gpu: bool = False

    def attempts(self) -> List[builds.Attempt]:
        """What to ask for, in turn."""
        return builds.attempts(self.orders, self.target, self.base.version)

    def mark(self) -> str:
        """What tells this plan from one that would install something else."""
        asked = [[attempt.requirement, attempt.build] for attempt in self.attempts()]
        return json.dumps([asked, self.orders.index_url, self.orders.wheels_dir])


def install(home: str, plan: Plan, limit: float, tell: Tell) -> Interpreter:
    """
    The interpreter of ~/.harborx/venv with the torch of the plan, installed where it isn't there.

    One installation at a time on a machine. `limit` is the moment (monotonic) to give up at.
    Raises `Failure` with one of the provision codes and the installer's last lines.
    """
    folder = os.path.dirname(os.path.dirname(places.venv_python(home)))
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        lock = os.open(os.path.join(home, "install.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(error) from error
    try:
        _wait_for(lock, limit, tell)
        return _has_it(home, plan) or _install(home, folder, plan, limit, tell)
    finally:
        os.close(lock)


def _wait_for(lock: int, limit: float, tell: Tell) -> None:
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > limit:
                raise Failure(
                    "provision_failed", "Another run's installation takes too long."
                ) from None
        if not told:
            tell("installing", "Another run installs torch on this machine; waiting for it.")
            told = True
        time.sleep(_LOCK_POLL_SECONDS)


def _has_it(home: str, plan: Plan) -> Optional[Interpreter]:
    """The environment's interpreter where this plan was carried out before, by another run."""
    try:
        with open(os.path.join(home, "venv", places.MARK), encoding="utf-8") as file:
            if file.read(100_000) != plan.mark():
                return None
    except (OSError, UnicodeDecodeError):
        return None
    found = interpreters.check(places.venv_python(home), plan.wants_gpu)
    return found if found and found.torch else None


def _install(home: str, folder: str, plan: Plan, limit: float, tell: Tell) -> Interpreter:
    attempts = plan.attempts()
    if not attempts:
        raise diagnosis.hopeless(plan.target, plan.base.version)
    installation = _Installation(plan.base.path, folder, limit, tell)
    installation.run(plan, attempts)
    found = interpreters.check(places.venv_python(home), plan.wants_gpu)
    if not (found and found.torch):
        problem = found.problem if found else "its Python does not start"
        raise Failure("provision_failed", "torch was installed but can't be imported.", problem)
    installation.finish(plan.mark())
    return found


class _Installation:
    """One attempt after another at filling the environment in `folder`."""

    def __init__(self, base: str, folder: str, limit: float, tell: Tell) -> None:
        self._base = base
        self._folder = folder
        self._python = os.path.join(folder, "bin", "python")
        self._parts = os.path.join(os.path.dirname(folder), "wheels.part")
        self._limit = limit
        self._tell = tell
        self._commands = Commands(self._parts, tell)

    def run(self, plan: Plan, attempts: List[builds.Attempt]) -> None:
        """Makes the environment and installs the first of `attempts` that can be. Raises `Failure`."""
        self._begin()
        wheels = plan.orders.wheels_dir
        if wheels and not os.path.isdir(os.path.expanduser(wheels)):
            raise Failure("provision_failed", f"There is no folder of wheels at {wheels}.")
        if self._with_uv(plan, attempts[0]):
            return
        pip = self._make_environment()
        pip += ["--no-input", "--disable-pip-version-check", "--cache-dir", self._parts]
        pip += ["--progress-bar", "off", "--retries", "2", "--timeout", "30"]
        for attempt in attempts:
            self._check_disk(plan.orders, attempt)
            self._tell("installing", f"Installing {attempt.requirement}.")
            argv = [*pip, *_source(plan.orders, attempt.build), attempt.requirement]
            if self._runs_over_breaks(argv):
                return
            if NOTHING not in self._commands.signs or NETWORK in self._commands.signs:
                break  # the network or the disk, which another name won't mend
        raise diagnosis.explain(
            self._commands.signs, plan.target, plan.base.version, self._commands.last,
            "torch could not be installed.",
        )  # fmt: skip

    def finish(self, mark: str) -> None:
        """Says that the environment is whole, and removes what it was made of."""
        path = os.path.join(self._folder, places.MARK)
        try:
            with open(f"{path}.part", "w", encoding="utf-8") as file:
                file.write(mark)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{path}.part", path)
        except OSError as error:
            raise _unwritable(error) from error
        shutil.rmtree(self._parts, ignore_errors=True)

    def _begin(self) -> None:
        """Takes the mark away first: from here on the environment is not whole."""
        earlier = os.path.isdir(self._parts)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, places.MARK))
            shutil.rmtree(temporary(self._parts), ignore_errors=True)
            os.makedirs(temporary(self._parts), mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unwritable(error) from error
        if earlier:
            self._tell("installing", "An earlier installation was interrupted; it is continued.")

    def _with_uv(self, plan: Plan, attempt: builds.Attempt) -> bool:
        """Whether uv has done it: it knows the indexes of all builds, where pip has just one."""
        uv = find_uv()
        orders = plan.orders
        if not uv or orders.index_url or orders.wheels_dir or "+" in orders.torch:
            return False
        self._check_disk(plan.orders, attempt)
        release = attempt.requirement.partition("+")[0]
        self._tell("installing", f"Installing {release} with uv.")
        argv = [uv, "pip", "install", "--python", self._python, "--no-progress"]
        told = plan.target.cuda or not plan.target.has_driver
        argv += ["--torch-backend", attempt.build if attempt.build and told else "auto", release]
        bare = [self._base, "-m", "venv", "--clear", "--without-pip", self._folder]
        left = self._limit - time.monotonic()
        if self._runs(bare) and self._runs(argv, left / 2):
            return True
        if DISK in self._commands.signs:
            raise diagnosis.explain(
                self._commands.signs, plan.target, plan.base.version, self._commands.last, ""
            )
        return False

    def _make_environment(self) -> List[str]:
        """Makes the virtual environment anew; returns the command that installs into it."""
        own_pip = [self._python, "-m", "pip"]
        self._tell("creating_venv", f"Making a virtual environment with {self._base}.")
        for maker in (
            [self._base, "-m", "venv", "--clear", self._folder],
            [self._base, "-m", "virtualenv", "--clear", self._folder],
        ):
            if self._runs(maker) and self._runs([*own_pip, "--version"]):
                return [*own_pip, "install"]
            if DISK in self._commands.signs:
                raise _disk_full(self._commands)
        # Debian keeps ensurepip in a package of its own. Without it a virtual environment has
        # no pip, but the one outside can fill it.
        bare = [self._base, "-m", "venv", "--clear", "--without-pip", self._folder]
        outer_pip = [self._base, "-m", "pip"]
        steps = (bare, [*outer_pip, "--version"], [self._python, "-c", _TARGET])
        if all(self._runs(step) for step in steps):
            return [*outer_pip, "install", "--target", self._commands.last[-1]]
        raise Failure(
            "provision_failed",
            "No virtual environment with pip can be made. Install python3-venv, or torch itself.",
            "\n".join(self._commands.last),
        )

    def _check_disk(self, orders: Provisioning, attempt: builds.Attempt) -> None:
        """Raises `Failure` where what it takes can't be there in the end."""
        gib = attempt.gib
        if orders.wheels_dir:
            wheels = _bytes_in(os.path.expanduser(orders.wheels_dir))
            gib = min(gib, _UNPACKED * wheels / 2**30)
        failure = diagnosis.lacks_disk(os.path.dirname(self._folder), gib, _bytes_in(self._parts))
        if failure:
            raise failure

    def _runs_over_breaks(self, argv: List[str]) -> bool:
        """As `_runs`, and again where the connection broke: what is whole is not fetched twice."""
        for left in reversed(range(_MOST_BREAKS)):
            if self._runs(argv, self._limit - time.monotonic()):
                return True
            broken = self._commands.downloading and NETWORK in self._commands.signs
            if not broken or not left or time.monotonic() + _BREAK_SECONDS > self._limit:
                return False
            self._tell("installing", "The connection broke; going on with what is here.")
            time.sleep(_BREAK_SECONDS)
        return False

    def _runs(self, argv: List[str], seconds: float = _CREATE_SECONDS) -> bool:
        return self._commands.run(argv, seconds)


def find_uv() -> Optional[str]:
    """The path of `uv`, also where its installer puts it, which a login over SSH may not look at."""
    usual = [os.path.expanduser(f"~/{place}/bin") for place in (".local", ".cargo")]
    return shutil.which("uv", path=os.pathsep.join([os.environ.get("PATH", ""), *usual]))


def _source(orders: Provisioning, build: Optional[str]) -> List[str]:
    """The options that tell pip where to look."""
    if orders.wheels_dir:
        return ["--no-index", "--find-links", os.path.expanduser(orders.wheels_dir)]
    if not orders.index_url:
        return []
    url = orders.index_url.replace("{build}", build or "cpu")
    parts = urlsplit(url)
    # pip asks for no index without TLS, and keeps nothing of it, unless told that it may.
    trusted = ["--trusted-host", parts.netloc] if parts.scheme == "http" else []
    return ["--index-url", url, *trusted]


def _bytes_in(folder: str) -> int:
    paths = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size for path in paths if os.path.lexists(path))


def _disk_full(commands: Commands) -> Failure:
    message = "The disk filled up while a virtual environment was made."
    return Failure("provision_disk_full", message, "\n".join(commands.last))


def _unwritable(error: OSError) -> Failure:
    message = "The environment for torch can't be written."
    code = "provision_disk_full" if error.errno in FULL_DISK else "provision_failed"
    return Failure(code, message, str(error))
