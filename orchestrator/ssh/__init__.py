"""
The SSH edge: where we may connect, whom we trust, how the agent gets there.

Sole importer of asyncssh.
"""
