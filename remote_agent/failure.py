"""The benchmark's typed failures: what the event `failed` carries."""


class Failure(Exception):
    """`code` as in docs/agent-contract.md, one sentence, and the evidence."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail[-4000:]
