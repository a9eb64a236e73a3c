"""Logs of a service: one line per event, JSON or for people, never with a payload or a token."""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")

SECRET = frozenset({"token", "tokens", "authorization", "password", "task_input", "result", "payload", "body"})
"""Keys whose values are never written, wherever they come from."""


def set_up_logs(level: str = "info", *, as_json: bool | None = None, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to ``stream`` (standard error).

    ``as_json`` None: JSON unless the stream is a terminal. Call it once, first thing in a service's process.
    """
    stream = stream or sys.stderr
    as_json = not stream.isatty() if as_json is None else as_json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    final: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    chain = shared + ([structlog.processors.format_exc_info] if as_json else [])
    structlog.configure(
        processors=[*chain, final],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(getattr(logging, level.upper()), logging.WARNING))  # other people's libraries talk too much


def _without_secrets(_: WrappedLogger, __: str, record: EventDict) -> EventDict:
    for key in SECRET & record.keys():
        record[key] = "(not logged)"
    return record
