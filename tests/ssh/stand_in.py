"""An agent small enough to read: it speaks the launch protocol of docs/agent-contract.md."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

from orchestrator.ssh.agent_archive import AgentArchive

_SOURCE = """
import base64, hashlib, json, os, select, shutil, sys, time

def main():
    command, said = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
    run = os.path.join(os.environ["HOME"], ".harborx", "runs", said["--run"])
    def say(text):
        os.write(1, ("@harborx %s %s\\n" % (said["--marker"], text)).encode())
    if highest(run) > int(said["--epoch"]):
        return say("refused %d" % highest(run))
    if command == "clean":
        shutil.rmtree(run, ignore_errors=True)
        return say("cleaned")
    with open(sys.argv[0], "rb") as agent:
        if hashlib.sha256(agent.read()).hexdigest() != said["--sha256"]:
            return say("damaged")
    spec = base64.urlsafe_b64decode(said.get("--spec", "") + "==")
    try:
        os.mkdir(run, 0o700)
        word = "started"
    except FileExistsError:
        word = "attached"
    with open(os.path.join(run, "epoch"), "w") as file:
        file.write(said["--epoch"])
    if word == "started":
        if not spec:
            return say("failed nothing to attach to")
        detach(run, json.loads(spec))
    try:
        say("begin " + word)
        ended = follow(run, int(said["--offset"]), said["--marker"])
    except BrokenPipeError:
        ended = False
    if not ended:
        open(os.path.join(run, "follower_left"), "w").close()

def highest(run):
    try:
        with open(os.path.join(run, "epoch")) as file:
            return int(file.read() or 0)
    except OSError:
        return 0

def detach(run, spec):
    events = os.open(os.path.join(run, "events.ndjson"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    if os.fork():
        return os.close(events)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.write(events, spec.get("first", "").encode() * spec.get("times", 1))
    while spec.get("hold") and os.path.exists(run) and not os.path.exists(os.path.join(run, "go")):
        time.sleep(0.01)
    os.write(events, spec.get("then", "").encode())
    with open(os.path.join(run, "exit.tmp"), "w") as file:
        json.dump({"status": spec.get("status", 0)}, file)
    os.rename(os.path.join(run, "exit.tmp"), os.path.join(run, "exit"))
    os._exit(0)

def follow(run, offset, marker):
    with open(os.path.join(run, "events.ndjson"), "rb") as events:
        events.seek(offset)
        while True:
            over = os.path.exists(os.path.join(run, "exit"))
            data = events.read(65536)
            if data:
                while data:
                    data = data[os.write(1, data):]
            elif over:
                break
            elif select.select([0], [], [], 0.01)[0] and not os.read(0, 4096):
                return False
        with open(os.path.join(run, "exit")) as file:
            end = json.load(file)
        end.update(signal=None, reason=None, bytes=events.tell(), rebooted=False,
                   stderr_tail="tail \\x1b[31mred")
    os.write(2, ("@harborx %s end %s\\n" % (marker, json.dumps(end))).encode())
    return True

main()
"""


def stand_in() -> AgentArchive:
    """The stand-in, packed; its first line may be altered without making it unrunnable."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", (1980, 1, 1, 0, 0, 0)), _SOURCE)
    content = buffer.getvalue()
    return AgentArchive(content, hashlib.sha256(content).hexdigest())


def spec(**wishes: Any) -> str:
    """`first` (repeated `times`), then, after the file `go` if `hold`, `then`; ends with `status`."""
    return json.dumps(wishes)
