"""Fabric as a client (see `ours`): put, then run; of several hosts each in a thread."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import paramiko
from fabric import Connection

LINES = 5


def main(place: dict) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(place["key"])

    def fetched(host: str) -> str:
        options = {"pkey": key, "look_for_keys": False, "allow_agent": False}
        with Connection(host, place["user"], place["port"], connect_kwargs=options) as machine:
            machine.client.load_host_keys(place["known_hosts"])
            machine.client.set_missing_host_key_policy(paramiko.RejectPolicy())
            machine.put(place["agent"], "agent.pyz")
            return machine.run("python3 -I -S agent.pyz", hide=True, in_stream=False).stdout

    hosts = place["hosts"]
    for _ in sys.stdin:
        began, spent = time.perf_counter(), time.process_time()
        if len(hosts) == 1:
            told = [fetched(hosts[0])]
        else:
            with ThreadPoolExecutor(len(hosts)) as threads:
                told = list(threads.map(fetched, hosts))
        taken = {
            "ms": (time.perf_counter() - began) * 1000,
            "cpu_ms": (time.process_time() - spent) * 1000,
        }
        if any(text.count("throughput") != LINES for text in told):
            sys.exit(f"no whole result: {told}")
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
