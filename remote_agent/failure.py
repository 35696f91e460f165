"""The benchmark's typed failures: what the event `failed` carries."""

from typing import Optional

_NO_MEMORY = ("out of memory", "can't allocate memory", "failed to allocate")


class Failure(Exception):
    """`code` as in docs/agent-contract.md, one sentence, and the evidence."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail[-4000:]


def is_out_of_memory(error: BaseException) -> bool:
    """
    Whether torch or Python says that something does not fit, in any of their many ways.

    Within a capture the first error is followed by that of the capture, so what went before counts too.
    """
    seen: Optional[BaseException] = error
    while seen is not None:
        text = str(seen).lower()
        if isinstance(seen, MemoryError) or any(words in text for words in _NO_MEMORY):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
