"""
What `bench.agent` compares: each peer is a program of its own, started anew for every measurement.

`python -m bench.agent_peers.NAME` measures once and prints one line of JSON. The interpreter needs torch, and
timm for timm's loop: nothing of the orchestrator is imported by a peer.
"""
