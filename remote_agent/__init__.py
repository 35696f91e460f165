"""The Harborx agent: it runs on the tested machine and speaks docs/agent-contract.md."""

VERSION = "1.0.0"
