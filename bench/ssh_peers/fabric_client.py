"""Fabric as a client: put, then run; of several hosts each in a thread."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import paramiko
from fabric import Connection
from peer_rounds import serve


def main(place: dict) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(place["key"])
    hosts = place["hosts"]

    def of_one(host: str) -> str:
        options = {"pkey": key, "look_for_keys": False, "allow_agent": False}
        with Connection(host, place["user"], place["port"], connect_kwargs=options) as machine:
            machine.client.load_host_keys(place["known_hosts"])
            machine.client.set_missing_host_key_policy(paramiko.RejectPolicy())
            machine.put(place["agent"], "agent.pyz")
            return machine.run("python3 -I -S agent.pyz", hide=True, in_stream=False).stdout

    def fetched() -> list:
        if len(hosts) == 1:
            return [of_one(hosts[0])]
        with ThreadPoolExecutor(len(hosts)) as threads:
            return list(threads.map(of_one, hosts))

    serve(fetched)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
